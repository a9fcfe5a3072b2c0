//! `outbox-relay check` and the SQL that it prints.

use anyhow::Context as _;
use serde_json::Value;

use crate::command::Ended;
use crate::outbox::Outbox;
use crate::relay_command::outbox_relay;

/// Runs the check as `url`, and returns the findings as pairs of the check's name and the rest.
///
/// # Errors
/// When it can't be started, or prints something else.
///
/// # Panics
/// When what it says of the whole is not what it says of the parts.
pub async fn check(
    outbox: &Outbox,
    url: &str,
    arguments: &[&str],
) -> anyhow::Result<(Ended, Vec<(String, Value)>)> {
    let settings = [("DATABASE_URL", url), ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str())];
    check_with(arguments, &settings).await
}

/// Runs the check with a user of the broker, whose `url` is given, and with `more` settings.
/// Returns the findings.
///
/// # Errors
/// As [`check`].
///
/// # Panics
/// As [`check`].
pub async fn check_as_broker_user(
    outbox: &Outbox,
    url: &str,
    more: &[(&str, &str)],
) -> anyhow::Result<Vec<(String, Value)>> {
    let urls = [("DATABASE_URL", outbox.relay_url.as_str()), ("RABBITMQ_URL", url)];
    let settings: Vec<_> = urls.into_iter().chain(more.iter().copied()).collect();
    Ok(check_with(&[], &settings).await?.1)
}

async fn check_with(
    arguments: &[&str],
    settings: &[(&str, &str)],
) -> anyhow::Result<(Ended, Vec<(String, Value)>)> {
    let ended = outbox_relay(&[&["check", "--json"], arguments].concat(), settings).await?;
    let document = ended.json()?;
    let mut findings = Vec::new();
    for check in document["checks"].as_array().context("checks")? {
        let name = check["check"].as_str().context("a name")?;
        let state = check["state"].as_str().context("a state")?;
        assert!(["well", "wrong", "skipped"].contains(&state), "{check}");
        for finding in check["findings"].as_array().into_iter().flatten() {
            findings.push((name.to_owned(), finding.clone()));
        }
    }
    assert_eq!(document["well"], findings.is_empty());
    assert_eq!(ended.code, Some(i32::from(!findings.is_empty())), "{ended:?}");
    Ok((ended, findings))
}

/// The names of the checks with findings, once per finding.
#[must_use]
pub fn names(findings: &[(String, Value)]) -> Vec<&str> {
    findings.iter().map(|(name, _)| name.as_str()).collect()
}

/// The SQL or command that fixes a finding.
///
/// # Errors
/// When there is none.
pub fn mend(finding: &Value) -> anyhow::Result<&str> {
    finding["mend"].as_str().context("each finding says what mends it")
}

/// Applies the fixes until nothing is found, which must not take long.
///
/// # Errors
/// When PostgreSQL refuses something, or when it never ends.
pub async fn mend_all(outbox: &Outbox, table: &[&str]) -> anyhow::Result<()> {
    for _ in 0..4 {
        let (_, findings) = check(outbox, &outbox.relay_url, table).await?;
        if findings.is_empty() {
            return Ok(());
        }
        for (_, finding) in &findings {
            // A finding that another fix resolves has no SQL.
            let sql = mend(finding)?;
            if sql.ends_with(';') {
                // One statement after the other, as psql does.
                for statement in sql.split_inclusive(";\n") {
                    outbox.sql.batch_execute(statement).await.with_context(|| sql.to_owned())?;
                }
            }
        }
    }
    let (ended, _) = check(outbox, &outbox.relay_url, table).await?;
    anyhow::bail!("still not well: {}", ended.out)
}
