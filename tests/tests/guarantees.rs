//! `docs/guarantees.md` names the test that shows each promise: every one of them exists.

use std::fs;

use anyhow::{Context as _, ensure};

/// The `file::test` that stand in backquotes in the table or the text.
fn named(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = page.split('`').skip(1).step_by(2);
    let tests = quoted.filter_map(|text| text.split_once("::"));
    tests.filter(|named| *named != ("file", "test"))
}

#[test]
fn every_test_that_the_guarantees_name_exists() -> anyhow::Result<()> {
    let page = fs::read_to_string(stack::root().join("docs/guarantees.md"))?;
    let named: Vec<_> = named(&page).collect();
    ensure!(named.len() > 40, "these can't be all: {named:?}");
    for (suite, test) in named {
        let path = stack::root().join(format!("tests/tests/{suite}.rs"));
        let code = fs::read_to_string(&path).with_context(|| format!("there is no {suite}.rs"))?;
        ensure!(code.contains(&format!("fn {test}(")), "{suite}.rs has no test {test}");
    }
    Ok(())
}
