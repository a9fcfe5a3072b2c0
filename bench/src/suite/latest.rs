//! The files of a run: the figures as JSON, and the plots.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Suite;
use super::row::Row;

/// All measurements.
pub(super) fn json(suite: &Suite<'_>, machine: &Value) -> Value {
    json!({
        "sizes": suite.sizes.name,
        "rounds": suite.sizes.rounds,
        "seconds": suite.progress.elapsed().as_secs(),
        "machine": machine,
        "rows": suite.rows.iter().map(Row::json).collect::<Vec<_>>(),
        "cost_of_an_order": suite.costs,
        "failed_requests": suite.failed,
        "plots": suite.plots.json(),
    })
}

/// Writes `latest.json` and the plots.
pub(super) fn write(suite: &Suite<'_>, json: &Value, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join("latest.json");
    let text = format!("{}\n", serde_json::to_string_pretty(json)?);
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    suite.plots.write(folder)
}
