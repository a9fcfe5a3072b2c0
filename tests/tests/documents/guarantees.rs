//! `docs/guarantees.md` names the test that shows each promise: every one of them exists.

use std::fs;

use anyhow::{Context as _, ensure};

/// The `suite::module::test` that stand in backquotes in the table or the text.
fn named(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = page.split('`').skip(1).step_by(2);
    let tests = quoted.filter_map(|text| text.rsplit_once("::"));
    tests.filter(|named| *named != ("suite::module", "test"))
}

#[test]
fn every_test_that_the_guarantees_name_exists() -> anyhow::Result<()> {
    let page = fs::read_to_string(stack::root().join("docs/guarantees.md"))?;
    let named: Vec<_> = named(&page).collect();
    ensure!(named.len() > 40, "these can't be all: {named:?}");
    for (module, test) in named {
        let file = format!("tests/tests/{}.rs", module.replace("::", "/"));
        let code = fs::read_to_string(stack::root().join(&file)).context(file)?;
        ensure!(code.contains(&format!("fn {test}(")), "{module} has no test {test}");
    }
    Ok(())
}
