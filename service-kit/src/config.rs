//! Settings: one [`clap::Parser`] struct per process, read from flags and environment, validated
//! once at start.
//!
//! An invalid value ends the process with exit status 64 (`EX_USAGE` of BSD's sysexits.h) and one
//! sentence that names the variable and shows no secret.

mod value_parsers;

use std::error::Error as _;
use std::ffi::OsString;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Parser};

pub use value_parsers::{
    duration, duration_between, is_parameter_name, limit, limit_or_none, read_file,
};

/// The exit status for invalid settings or arguments.
pub const EXIT_USAGE: u8 = 64;

/// Reads the settings of this process. Prints help or version and ends the process if they are
/// asked for; ends it with [`EXIT_USAGE`] if a setting is invalid.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "as clap itself does")]
pub fn parse<C: Parser>() -> C {
    match C::try_parse_from(std::env::args_os()).map_err(settings_error::<C>) {
        Ok(config) => config,
        Err(SettingsError::Clap(error)) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            if error.print().is_err() {
                // Nothing reads the output; the exit status is still valid.
            }
            std::process::exit(i32::from(code));
        }
        Err(SettingsError::Setting(sentence)) => exit_with(&sentence),
    }
}

/// Prints `sentence`, which names the invalid setting, and ends the process.
#[allow(clippy::print_stderr, reason = "the logs are not set up before the settings are read")]
#[expect(clippy::disallowed_methods, reason = "as clap itself does")]
pub fn exit_with(sentence: &str) -> ! {
    eprintln!("error: {sentence}");
    std::process::exit(i32::from(EXIT_USAGE));
}

/// Why settings were rejected.
#[derive(Debug)]
pub enum SettingsError {
    /// Help, version, or an unknown argument: clap's own text.
    Clap(clap::Error),
    /// One sentence that names the variable.
    Setting(String),
}

/// Reads settings from `args` only, not from the environment. For tests.
///
/// # Errors
/// If help or version is asked for, or a value is missing or invalid.
pub fn try_parse_from<C: Parser>(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<C, SettingsError> {
    let mut command = without_environment(C::command());
    let matches = command.try_get_matches_from_mut(args);
    matches
        .and_then(|mut matches| C::from_arg_matches_mut(&mut matches))
        .map_err(|error| settings_error::<C>(error.format(&mut command)))
}

/// Returns the command without environment variables.
fn without_environment(command: Command) -> Command {
    command.mut_args(|arg| arg.env(Resettable::Reset)).mut_subcommands(without_environment)
}

fn settings_error<C: Parser>(error: clap::Error) -> SettingsError {
    // Built, so that arguments have the names that the error shows.
    let mut command = C::command();
    command.build();
    sentence(&command, &error).map_or_else(|| SettingsError::Clap(error), SettingsError::Setting)
}

/// Returns clap's error as a sentence that names the environment variable, with the flag if that has
/// another name, or `None` if clap's own text is fine.
fn sentence(command: &Command, error: &clap::Error) -> Option<String> {
    let shown = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(shown) => vec![shown.clone()],
        ContextValue::Strings(shown) => shown.clone(),
        _ => return None,
    };
    let args: Vec<&Arg> = shown.iter().filter_map(|shown| find(command, shown)).collect();
    let arg = *args.first()?;
    let name = describe(arg);
    match error.kind() {
        ErrorKind::MissingRequiredArgument => Some(format!("{name} is not set; see --help")),
        ErrorKind::ArgumentConflict => {
            let other = match error.get(ContextKind::PriorArg) {
                Some(ContextValue::String(other)) => find(command, other),
                Some(ContextValue::Strings(others)) => {
                    others.first().and_then(|other| find(command, other))
                }
                _ => None,
            };
            Some(format!(
                "{name} and {} can't both be set",
                other.map_or_else(|| "another one".to_owned(), describe)
            ))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = match error.get(ContextKind::InvalidValue) {
                Some(ContextValue::String(value)) => value.as_str(),
                _ => "",
            };
            if value.is_empty() {
                return Some(format!("{name} is empty; give it a value or unset it"));
            }
            let value = if arg.is_hide_env_values_set() {
                "its value".to_owned()
            } else {
                format!("{value:?}")
            };
            Some(match (error.source(), error.get(ContextKind::ValidValue)) {
                (Some(source), _) => format!("{name}: {value} is refused: {source}"),
                (None, Some(ContextValue::Strings(valid))) => {
                    format!("{name}: {value} is refused: it must be one of {}", valid.join(", "))
                }
                _ => format!("{name}: {value} is refused"),
            })
        }
        _ => None,
    }
}

fn find<'a>(command: &'a Command, shown: &str) -> Option<&'a Arg> {
    command
        .get_arguments()
        .find(|arg| arg.to_string() == shown)
        .or_else(|| command.get_subcommands().find_map(|sub| find(sub, shown)))
}

fn describe(arg: &Arg) -> String {
    let env = arg.get_env().map(|env| env.to_string_lossy());
    match (env, arg.get_long()) {
        (Some(env), Some(long)) if env != long.to_uppercase().replace('-', "_") => {
            format!("--{long} ({env})")
        }
        (Some(env), _) => env.into_owned(),
        (None, Some(long)) => format!("--{long}"),
        (None, None) => arg.get_id().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings of a test process.
    #[derive(Debug, Parser)]
    struct Settings {
        #[arg(long, env = "KIT_TEST_URL", hide_env_values = true)]
        url: String,
        #[arg(long = "kit-test-tries", env = "KIT_TEST_TRIES", default_value_t = 3)]
        tries: u32,
        #[arg(long, env = "KIT_TEST_PAUSE", value_parser = duration, default_value = "5ms")]
        pause: std::time::Duration,
        #[arg(long, env = "KIT_TEST_TOKEN", hide_env_values = true, value_parser = secret_number)]
        token: Option<u32>,
    }

    fn secret_number(text: &str) -> Result<u32, String> {
        text.parse().map_err(|_| "it must be a number".to_owned())
    }

    fn refusal(args: &[&str]) -> String {
        match try_parse_from::<Settings>([&["test"], args].concat()) {
            Err(SettingsError::Setting(sentence)) => sentence,
            other => panic!("no sentence: {other:?}"),
        }
    }

    #[test]
    fn right_settings_are_read_with_their_defaults() {
        let settings: Settings =
            try_parse_from(["test", "--url", "x", "--token", "7"]).expect("all is set");
        assert_eq!(settings.url, "x");
        assert_eq!(settings.tries, 3);
        assert_eq!(settings.pause, std::time::Duration::from_millis(5));
        assert_eq!(settings.token, Some(7));
    }

    /// Settings with a variable that every shell sets.
    #[derive(Debug, Parser)]
    struct Shell {
        #[arg(long, env = "PATH", default_value = "none", global = true)]
        path: String,
        #[command(subcommand)]
        within: Option<Within>,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Within {
        Command {
            #[arg(long, env = "PATH", default_value = "none")]
            other: String,
        },
    }

    #[test]
    fn tests_do_not_see_the_variables_of_their_shell() {
        let settings: Shell = try_parse_from(["test", "command"]).expect("nothing is needed");
        let Some(Within::Command { other }) = settings.within else { panic!("{settings:?}") };
        assert_eq!((settings.path.as_str(), other.as_str()), ("none", "none"));
        let settings = Shell::try_parse_from(["test"]).expect("nothing is needed");
        assert_ne!(settings.path, "none", "programs do");
    }

    #[test]
    fn a_wrong_setting_is_named_by_its_variable() {
        assert_eq!(refusal(&[]), "--url (KIT_TEST_URL) is not set; see --help");
        assert!(
            refusal(&["--url", "x", "--kit-test-tries", "many"])
                .starts_with("KIT_TEST_TRIES: \"many\" is refused: ")
        );
        assert!(
            refusal(&["--url", "x", "--pause", "soon"])
                .starts_with("--pause (KIT_TEST_PAUSE): \"soon\" is refused: ")
        );
    }

    #[test]
    fn a_wrong_secret_is_not_shown() {
        let sentence = refusal(&["--url", "x", "--token", "hunter2"]);
        assert_eq!(sentence, "--token (KIT_TEST_TOKEN): its value is refused: it must be a number");
    }
}
