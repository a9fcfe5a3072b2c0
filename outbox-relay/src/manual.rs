//! Shell completions and manual pages for packages, generated from the definition of the command
//! line, and the document of the console's API.

use std::process::ExitCode;

use clap::{Command, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::commands::{self, UsageError};
use crate::help;

/// Prints what a package installs beside the program.
#[derive(Debug, Subcommand)]
pub enum ManualCommand {
    /// Print the completions for a shell
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a manual page in the format of man
    #[command(hide = true)]
    Man {
        /// The command that the page is about; without it, the program with the settings of run
        command: Option<String>,
    },
    /// Print the OpenAPI document of the console's API
    #[cfg(feature = "console")]
    #[command(hide = true)]
    Openapi {
        /// The format of the document
        #[arg(long, value_enum, default_value = "yaml")]
        format: service_kit::http::documents::Format,
    },
}

impl ManualCommand {
    /// Prints the completions or the page of `program` and returns the exit status.
    #[must_use]
    pub fn run(self, program: Command) -> ExitCode {
        commands::print(match self {
            Self::Completions { shell } => completions(program, shell),
            Self::Man { command: None } => program_page(program),
            Self::Man { command: Some(command) } => command_page(program, &command),
            #[cfg(feature = "console")]
            Self::Openapi { format } => Ok(crate::console::openapi_document("", format)),
        })
    }
}

fn completions(program: Command, shell: Shell) -> anyhow::Result<String> {
    let mut program = program.mut_subcommands(with_summary);
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name.as_str(), &mut script);
    let script = String::from_utf8(script)?;
    // clap_complete writes the state of a command in two ways when the program's name has a hyphen,
    // so that bash completes no flags: https://github.com/clap-rs/clap/issues/6421
    Ok(script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__")))
}

/// Returns the page of the program. As `run` is the default command, it has the settings of `run`.
fn program_page(program: Command) -> anyhow::Result<String> {
    let run = program.find_subcommand("run");
    let settings: Vec<_> = run.into_iter().flat_map(Command::get_arguments).cloned().collect();
    let program = program.mut_subcommands(with_summary).args(settings);
    let source = source(&program);
    let man = Man::new(program).source(source);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    man.render_options_section(&mut page)?;
    section("NOTES", |roff| {
        for paragraph in help::NOTES.split("\n\n") {
            roff.control("PP", []).text([roman(paragraph)]);
        }
    })
    .to_writer(&mut page)?;
    section("EXAMPLES", |roff| verbatim(roff, help::EXAMPLES)).to_writer(&mut page)?;
    with_one_preamble(page)
}

/// Returns the page of one command.
fn command_page(program: Command, name: &str) -> anyhow::Result<String> {
    let source = source(&program);
    let mut program = program.mut_subcommands(with_summary);
    // Built, so that the command has the name outbox-relay-NAME.
    program.build();
    let is_shown = |command: &&Command| !command.is_hide_set();
    let command = program.find_subcommand(name).filter(is_shown).cloned();
    let command = command.ok_or_else(|| UsageError(format!("there is no command {name:?}")))?;
    let examples = command.get_after_help().map(ToString::to_string);
    let has_subcommands = command.has_subcommands();
    let man = Man::new(command).source(source);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if has_subcommands {
        man.render_subcommands_section(&mut page)?;
    }
    man.render_options_section(&mut page)?;
    if let Some((_, examples)) = examples.as_ref().and_then(|text| text.split_once('\n')) {
        section("EXAMPLES", |roff| verbatim(roff, examples)).to_writer(&mut page)?;
    }
    section("SEE ALSO", |roff| {
        roff.text([bold(program.get_name()), roman("(1)")]);
    })
    .to_writer(&mut page)?;
    with_one_preamble(page)
}

/// Each section is written with the definition of the apostrophe; a page needs it once.
fn with_one_preamble(page: Vec<u8>) -> anyhow::Result<String> {
    let page = String::from_utf8(page)?;
    let mut lines: Vec<&str> = page.lines().collect();
    let preamble: Vec<&str> = lines.drain(..2).collect();
    lines.retain(|line| !preamble.contains(line));
    Ok(format!("{}\n{}\n", preamble.join("\n"), lines.join("\n")))
}

/// The program and its version, as the foot of a page shows them.
fn source(program: &Command) -> String {
    format!("{} {}", program.get_name(), program.get_version().unwrap_or_default())
}

/// Returns the command with one line as its summary, in place of the whole description, which the
/// help shows.
fn with_summary(command: Command) -> Command {
    let Some(description) = command.get_about().map(ToString::to_string) else { return command };
    let summary = description.lines().next().unwrap_or_default().to_owned();
    command.about(summary).long_about(description)
}

fn section(title: &str, fill: impl FnOnce(&mut Roff)) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    fill(&mut roff);
    roff
}

/// Adds `lines` as they are, without filling them.
fn verbatim(roff: &mut Roff, lines: &str) {
    roff.control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn bash_completes_the_flags_of_each_command() {
        let script = completions(Cli::command(), Shell::Bash).expect("a script");
        let states = script.lines().filter_map(|line| line.trim().strip_prefix("cmd=\""));
        let states: Vec<_> = states.filter_map(|state| state.strip_suffix('"')).collect();
        assert!(states.len() > 11, "{script}");
        for state in states.into_iter().filter(|state| !state.is_empty()) {
            assert!(script.contains(&format!("\n        {state})\n")), "{state}: {script}");
        }
    }

    #[test]
    fn the_programs_page_has_the_commands_and_every_setting_of_run() {
        let page = program_page(Cli::command()).expect("a page");
        let program = Cli::command();
        for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name().replace('-', "\\-");
            assert!(page.contains(&format!("outbox\\-relay\\-{name}(1)")), "{name}: {page}");
        }
        let run = program.find_subcommand("run").expect("a command");
        for variable in run.get_arguments().filter_map(clap::Arg::get_env) {
            let variable = variable.to_string_lossy();
            assert!(page.contains(&*variable), "{variable}: {page}");
        }
    }

    #[test]
    fn every_command_has_a_page_with_a_summary_of_one_line() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let page = command_page(Cli::command(), name).expect("a page");
            let shown = name.replace('-', "\\-");
            let (_, summary) = page.split_once(".SH NAME\n").expect(name);
            let (summary, _) = summary.split_once(".SH").expect(name);
            assert_eq!(summary.lines().count(), 1, "{summary}");
            assert!(summary.starts_with(&format!("outbox\\-relay\\-{shown} \\- ")), "{summary}");
        }
        for name in ["man", "completions", "openapi", "stauts"] {
            assert!(command_page(Cli::command(), name).is_err(), "{name}");
        }
    }
}
