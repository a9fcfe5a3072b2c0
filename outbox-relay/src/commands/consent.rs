//! A person's consent to a change of many rows: their number, typed or expected.

use std::io::{IsTerminal as _, stdin};

use anyhow::{Context as _, bail};
use tokio::task::spawn_blocking;

use super::args::ExpectArgs;
use super::outcome::UsageError;
use super::output;

/// How a command may get the consent to change what a filter matches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Consent<'a> {
    /// What is done with them: `retry`, say.
    pub(super) verb: &'a str,
    /// What one of them is: `event`, say.
    pub(super) noun: &'a str,
    pub(super) expect: ExpectArgs,
    /// `--yes`, whatever their number is; `None` for a command that has no such flag.
    pub(super) yes: Option<bool>,
}

impl Consent<'_> {
    /// Fails if the command would have to ask, and standard input is no terminal: a script must
    /// not depend on how many events match.
    pub(super) fn require_terminal(self) -> Result<(), UsageError> {
        let is_told = self.yes == Some(true) || self.expect.expect.is_some();
        let asks = !is_told && !self.expect.dry_run;
        if !asks || stdin().is_terminal() {
            return Ok(());
        }
        let or_yes = if self.yes.is_some() { ", or --yes for any number" } else { "" };
        Err(UsageError(format!(
            "{} asks before it changes what a filter matches, but standard input is no terminal: count the {}s with \
             --dry-run, and give their number with --expect{or_yes}",
            self.verb, self.noun
        )))
    }

    /// Fails unless the person agrees to change `count` of them.
    pub(super) async fn obtain(self, count: usize) -> anyhow::Result<()> {
        if let Some(expected) = self.expect.expect {
            if usize::try_from(expected) != Ok(count) {
                let counted = output::counted(count, self.noun);
                let matches = if count == 1 { "matches" } else { "match" };
                bail!("{counted} {matches}, not {expected}: nothing was changed; see --dry-run");
            }
            return Ok(());
        }
        if self.yes == Some(true) || count == 0 {
            return Ok(());
        }
        let matches = if count == 1 { "matches" } else { "match" };
        let counted = output::counted(count, self.noun);
        output::prompt(&format!("{counted} {matches}. Type the number to {} them: ", self.verb));
        let answer = spawn_blocking(|| {
            let mut line = String::new();
            stdin().read_line(&mut line).map(|_| line)
        });
        let answer = answer.await?.context("no answer can be read")?;
        if answer.trim() != count.to_string() {
            bail!("nothing was changed");
        }
        Ok(())
    }
}
