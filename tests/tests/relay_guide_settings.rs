//! `docs/relay.md` lists every setting with its default, and none that does not exist.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use clap::CommandFactory as _;
use outbox_relay::Cli;

/// Every environment variable of the relay and its commands, with its default if it has one.
fn settings() -> BTreeMap<String, Option<String>> {
    let program = Cli::command();
    let arguments = program.get_subcommands().flat_map(clap::Command::get_arguments);
    let settings = arguments.filter_map(|argument| {
        let variable = argument.get_env()?.to_str()?.to_owned();
        let default = argument.get_default_values().first().and_then(|value| value.to_str());
        Some((variable, default.map(str::to_owned)))
    });
    settings.collect()
}

#[test]
fn every_setting_is_in_the_guide_with_its_default() -> anyhow::Result<()> {
    let guide = std::fs::read_to_string(stack::root().join("docs/relay.md"))?;
    let (_, section) = guide.split_once("\n### Settings\n").context("there is no such section")?;
    let table = section.split("\n### ").next().unwrap_or_default();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let settings = settings();
    ensure!(settings.len() > 15, "these can't be all: {settings:?}");
    for (variable, default) in &settings {
        let row = rows.iter().find(|row| row.contains(&format!("`{variable}`")));
        let row = row.with_context(|| format!("{variable} is missing"))?;
        let told = default.as_ref().is_none_or(|default| row.contains(&format!("`{default}`")));
        ensure!(told, "{variable} is {default:?} by default: {row}");
    }
    for row in rows {
        let names = row.split('|').nth(1).unwrap_or_default();
        for name in names.split(',').map(|name| name.trim().trim_matches('`')) {
            ensure!(settings.contains_key(name), "there is no setting {name}");
        }
    }
    Ok(())
}
