//! What axe-core finds on a page: barriers for people who can't see it, or use no mouse.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Tab;
use crate::example::node_modules;

/// Finds what breaks the rules of WCAG 2.2 AA and good practice.
const FIND: &str = "
    const done = arguments[arguments.length - 1];
    axe.run(document).then(({ violations }) => done(violations), (error) => done(String(error)));";

/// The source of axe-core, which is fetched from the npm registry once per build folder.
/// `target_tmp` is a suite's `CARGO_TARGET_TMPDIR`.
///
/// # Errors
/// When it can't be fetched.
pub fn axe_source(target_tmp: &str) -> anyhow::Result<String> {
    let folder = node_modules(target_tmp, &stack::root().join("tests/axe"))?;
    let source = folder.join("axe-core/axe.min.js");
    std::fs::read_to_string(&source).with_context(|| source.display().to_string())
}

impl Tab {
    /// What axe-core, whose source is `axe`, finds serious on this page, in a line each.
    ///
    /// # Errors
    /// When it can't be run.
    pub async fn barriers(&self, axe: &str) -> anyhow::Result<Vec<String>> {
        self.run(axe, vec![]).await?;
        let found = self.client.execute_async(FIND, vec![]).await?;
        let found = found.as_array().with_context(|| found.to_string())?;
        Ok(found.iter().map(line).collect())
    }
}

fn line(finding: &Value) -> String {
    let nodes = finding["nodes"].as_array().into_iter().flatten();
    let nodes: Vec<_> = nodes.map(|node| json!([node["target"], node["failureSummary"]])).collect();
    format!("{} {}: {}", finding["impact"], finding["help"], Value::from(nodes))
}
