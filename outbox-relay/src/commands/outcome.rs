//! How a command ended, and its exit status.

use std::process::ExitCode;

use service_kit::config::EXIT_USAGE;

use super::output::{self, OutputClosed};

/// How a command ended that could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Everything was done, and nothing is wrong.
    Ok,
    /// Something was not done, or a problem was found; it has been printed.
    Problems,
    /// Everything was done, but a relay may still send an event as it was before.
    MayStillArrive,
    /// What was looked for is not there yet, and nothing is wrong.
    OnItsWay,
    /// Somewhere could not be looked.
    Unknown,
}

/// The exit status of [`Outcome::OnItsWay`].
const EXIT_ON_ITS_WAY: u8 = 2;

/// The exit status of [`Outcome::MayStillArrive`] and [`Outcome::Unknown`].
const EXIT_NOT_CERTAIN: u8 = 3;

/// The exit status of [`Unavailable`]: `EX_UNAVAILABLE` of BSD's sysexits.h.
pub(crate) const EXIT_UNAVAILABLE: u8 = 69;

/// A server that the command needs is away or does not answer in time: the command may succeed when
/// it is back.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unavailable(pub(super) String);

impl Unavailable {
    /// Returns `sentence` as an error, which is of this kind if `error` is.
    pub(super) fn keep(error: &anyhow::Error, sentence: String) -> anyhow::Error {
        match error.is::<Self>() {
            true => Self(sentence).into(),
            false => anyhow::Error::msg(sentence),
        }
    }
}

/// Arguments or settings that make no sense, whatever the servers say.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Prints an error to standard error and returns the exit status.
pub(super) fn exit_code(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Ok) => ExitCode::SUCCESS,
        Ok(Outcome::Problems) => ExitCode::FAILURE,
        Ok(Outcome::OnItsWay) => ExitCode::from(EXIT_ON_ITS_WAY),
        Ok(Outcome::MayStillArrive | Outcome::Unknown) => ExitCode::from(EXIT_NOT_CERTAIN),
        // The reader has what it wants, as with `head`.
        Err(error) if error.is::<OutputClosed>() => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&format!("{error:#}"));
            match () {
                () if error.is::<UsageError>() => ExitCode::from(EXIT_USAGE),
                () if error.is::<Unavailable>() => ExitCode::from(EXIT_UNAVAILABLE),
                () => ExitCode::FAILURE,
            }
        }
    }
}
