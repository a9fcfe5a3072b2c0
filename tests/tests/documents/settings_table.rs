//! `docs/settings.md` lists every setting of the three programs, as in the code.

use std::fmt::Write as _;

use anyhow::ensure;
use clap::{Arg, Command, CommandFactory};

const REWRITE: &str =
    "WRITE_SETTINGS=1 cargo test -p pipeline-tests --test documents settings_table";

/// The long-running processes: each program's command, and the process's name.
const PROCESSES: [(&str, &str, &str); 6] = [
    ("order-service", "serve", "order-service"),
    ("outbox-relay", "run", "outbox-relay"),
    ("customer-service", "api", "customer-service api"),
    ("customer-service", "consumer", "customer-service consumer"),
    ("outbox-relay", "dead-letters collect", "dead-letters"),
    ("outbox-relay", "console", "console"),
];

const HEAD: &str = "# Settings

Written by `tests/tests/documents/settings_table.rs` from what the programs read; not to be changed by hand.

Each setting is an environment variable, and a flag of the same name in lower case with dashes (`RELAY_WINDOW`, `--relay-window`), unless another flag stands
beside it. The flag wins. `dead-letters` is `outbox-relay dead-letters collect`. Whoever reads `DATABASE_URL` or `RABBITMQ_URL` needs it or the file that holds it; all others have a default or can be left out. Durations are
written `5ms`, `30s`, `7d`. A wrong value ends the process at start with one sentence that names the variable, and exit status 64.

";

/// A row of the table.
#[derive(PartialEq, Eq)]
struct Setting {
    variable: String,
    default: String,
    meaning: String,
}

fn programs() -> [(&'static str, Command); 3] {
    [
        ("order-service", order_service::Cli::command()),
        ("outbox-relay", outbox_relay::Cli::command()),
        ("customer-service", customer_service::config::Cli::command()),
    ]
}

/// All commands of a program, with those of commands, by their names.
fn all_commands(program: &Command) -> Vec<(String, &Command)> {
    let mut all = Vec::new();
    for command in program.get_subcommands() {
        let name = command.get_name();
        all.push((name.to_owned(), command));
        let nested = command.get_subcommands();
        all.extend(nested.map(|nested| (format!("{name} {}", nested.get_name()), nested)));
    }
    all
}

/// The arguments that have an environment variable.
fn variables(command: &Command) -> impl Iterator<Item = (&Arg, &str)> {
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    shown.filter_map(|argument| Some((argument, argument.get_env()?.to_str()?)))
}

fn setting(argument: &Arg, variable: &str) -> Setting {
    let flag = argument.get_long().unwrap_or_default();
    let own_flag = flag != variable.to_lowercase().replace('_', "-");
    let default = argument.get_default_values().first().map(|value| value.to_string_lossy());
    let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let mut mark = ". ";
    for value in argument.get_possible_values() {
        if let Some(help) = value.get_help() {
            let help = help.to_string();
            let help = help.trim_end_matches('.');
            meaning.push_str(&format!("{mark}`{}`: {help}", value.get_name()));
            mark = "; ";
        }
    }
    Setting {
        variable: match own_flag {
            true => format!("`{variable}`, `--{flag}`"),
            false => format!("`{variable}`"),
        },
        default: default.map(|default| format!("`{default}`")).unwrap_or_default(),
        meaning: meaning.replace('|', "\\|"),
    }
}

/// Every setting with the processes that read it: first the shared ones, then those of single
/// processes.
fn settings() -> Vec<(Setting, Vec<&'static str>)> {
    let programs = programs();
    let mut rows: Vec<(Setting, Vec<&'static str>)> = Vec::new();
    let mut add = |setting: Setting, reader: &'static str| match rows
        .iter_mut()
        .find(|(known, _)| *known == setting)
    {
        Some((_, readers)) => readers.push(reader),
        None => rows.push((setting, vec![reader])),
    };
    for (program, command, process) in PROCESSES {
        let (_, cli) = programs.iter().find(|(name, _)| *name == program).expect("a program");
        let commands = all_commands(cli);
        let (_, found) = commands.iter().find(|(name, _)| name == command).expect("a command");
        for (argument, variable) in variables(found) {
            add(setting(argument, variable), process);
        }
    }
    rows.sort_by_key(|(_, readers)| std::cmp::Reverse(readers.len()));
    // Those read by commands only.
    for (_, cli) in &programs {
        for (argument, variable) in all_commands(cli).into_iter().flat_map(|(_, it)| variables(it))
        {
            let own = setting(argument, variable);
            if !rows.iter().any(|(known, _)| known.variable == own.variable) {
                rows.push((own, vec!["commands"]));
            }
        }
    }
    rows
}

fn page() -> String {
    let mut page = format!("{HEAD}| variable | default | read by | meaning |\n|---|---|---|---|\n");
    for (Setting { variable, default, meaning }, readers) in settings() {
        let readers = match readers.len() {
            readers if readers == PROCESSES.len() => "all processes".to_owned(),
            _ => readers.join(", "),
        };
        writeln!(page, "| {variable} | {default} | {readers} | {meaning} |").expect("memory");
    }
    page.push_str("\n## What the other commands read\n\n| command | variables |\n|---|---|\n");
    for (program, cli) in programs() {
        for (name, command) in all_commands(&cli) {
            let names: Vec<String> =
                variables(command).map(|(_, variable)| format!("`{variable}`")).collect();
            let runs = PROCESSES.iter().any(|process| (process.0, process.1) == (program, &name));
            let is_nested = name.contains(' ');
            if !runs && (is_nested || !names.is_empty()) {
                writeln!(page, "| `{program} {name}` | {} |", names.join(", ")).expect("memory");
            }
        }
    }
    page
}

#[expect(clippy::disallowed_methods, reason = "whether to write the table")]
#[test]
fn the_table_of_settings_is_that_of_the_code() -> anyhow::Result<()> {
    let (file, page) = (stack::root().join("docs/settings.md"), page());
    if std::env::var_os("WRITE_SETTINGS").is_some() {
        std::fs::write(&file, &page)?;
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == page, "docs/settings.md is stale: run {REWRITE}");
    let runbook = std::fs::read_to_string(stack::root().join("docs/operations.md"))?;
    assert!(runbook.contains("](settings.md)"), "the runbook leads to it");
    Ok(())
}

#[test]
fn every_secret_can_also_stand_in_a_file() -> anyhow::Result<()> {
    let page = page();
    let mut secrets = 0;
    for (program, cli) in programs() {
        for (command, found) in all_commands(&cli) {
            for (_, name) in variables(found).filter(|(arg, _)| arg.is_hide_env_values_set()) {
                secrets += 1;
                let file = format!("{name}_FILE");
                let read = variables(found).any(|(_, other)| other == file);
                ensure!(read, "{program} {command} does not read {file}");
                ensure!(page.contains(&format!("\n| `{file}` |")), "{file} is not in the table");
            }
        }
    }
    ensure!(secrets > 5, "these can't be all secrets: {secrets}");
    Ok(())
}
