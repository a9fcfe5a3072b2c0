//! Users of the broker with limited permissions: what `check` finds, and what a relay still does.

use anyhow::{Context as _, ensure};
use lapin::options::ExchangeDeleteOptions;
use pipeline_tests::broker_user::BrokerUser;
use pipeline_tests::outbox::{EXCHANGE, Outbox, eventually};
use pipeline_tests::pipeline::{address, ready};
use pipeline_tests::relay_command::outbox_relay;
use pipeline_tests::strict_broker::StrictBroker;
use serde_json::Value;
use stack::Service;

type Tested = anyhow::Result<()>;

/// The findings of `check`, as pairs of the check's name and the finding with its fix.
async fn findings(
    outbox: &Outbox,
    url: &str,
    more: &[(&str, &str)],
) -> anyhow::Result<Vec<(String, Value)>> {
    let urls = [("DATABASE_URL", outbox.relay_url.as_str()), ("RABBITMQ_URL", url)];
    let settings: Vec<_> = urls.into_iter().chain(more.iter().copied()).collect();
    let ended = outbox_relay(&["check", "--json"], &settings).await?;
    let document = ended.json()?;
    let mut findings = Vec::new();
    for check in document["checks"].as_array().context("checks")? {
        let name = check["check"].as_str().context("a name")?;
        let found = check["findings"].as_array().into_iter().flatten();
        findings.extend(found.map(|finding| (name.to_owned(), finding.clone())));
    }
    ensure!(document["well"] == findings.is_empty(), "{document}");
    ensure!(ended.code == Some(i32::from(!findings.is_empty())), "{ended:?}");
    Ok(findings)
}

fn text<'a>(finding: &'a Value, member: &str) -> &'a str {
    finding[member].as_str().unwrap_or_default()
}

#[tokio::test]
async fn check_finds_a_missing_permission_to_write_and_delivers_nothing() -> Tested {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let user = BrokerUser::new(&outbox.vhost, ".*", "^$").await?;
    let vhost = &outbox.vhost.name;
    let mend = format!(
        "rabbitmqctl list_user_permissions {name}   # what it has, all of which the next command replaces\n\
         rabbitmqctl set_permissions -p {vhost} {name} '^orders\\.events$' '^orders\\.events$' '^$'",
        name = user.name
    );
    for declare in ["true", "false"] {
        let found = findings(&outbox, &user.url, &[("RELAY_DECLARE", declare)]).await?;
        ensure!(found.len() == 1 && found[0].0 == "exchange", "{declare}: {found:?}");
        let said = text(&found[0].1, "finding");
        ensure!(
            said.starts_with("the relay may not write to orders.events: ACCESS_REFUSED"),
            "{said}"
        );
        assert_eq!(text(&found[0].1, "mend"), mend);
    }

    // As the finding says.
    user.may(r"^orders\.events$", r"^orders\.events$").await?;
    for declare in ["true", "false"] {
        let found = findings(&outbox, &user.url, &[("RELAY_DECLARE", declare)]).await?;
        ensure!(found.is_empty(), "{found:?}");
    }
    assert_eq!(outbox.depth("all").await?, 0, "what check publishes is rolled back");
    Ok(())
}

#[tokio::test]
async fn check_finds_a_missing_permission_to_write_to_a_further_exchange() -> Tested {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let user = BrokerUser::new(&outbox.vhost, "^$", r"^orders\.events$").await?;
    let further = [("RELAY_EXCHANGES", "amq.topic, amq.fanout")];
    let found = findings(&outbox, &user.url, &further).await?;
    ensure!(found.len() == 2 && found.iter().all(|(name, _)| name == "exchange"), "{found:?}");
    for (exchange, (_, finding)) in ["amq.topic", "amq.fanout"].into_iter().zip(&found) {
        let begin =
            format!("the relay may not write to {exchange} of RELAY_EXCHANGES: ACCESS_REFUSED");
        let said = text(finding, "finding");
        ensure!(said.starts_with(&begin), "{said}");
        let (configure, write) =
            (r"'^orders\.events$'", r"'^(orders\.events|amq\.topic|amq\.fanout)$'");
        let mend = text(finding, "mend");
        ensure!(mend.ends_with(&format!("{configure} {write} '^$'")), "{mend}");
    }
    // As the finding says.
    user.may(r"^orders\.events$", r"^(orders\.events|amq\.topic|amq\.fanout)$").await?;
    let found = findings(&outbox, &user.url, &further).await?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn check_finds_a_missing_permission_where_the_exchange_is_still_to_be_declared() -> Tested {
    let outbox = Outbox::new().await?;
    let user = BrokerUser::new(&outbox.vhost, ".*", "^$").await?;
    let found = findings(&outbox, &user.url, &[]).await?;
    ensure!(found.len() == 1 && found[0].0 == "exchange", "{found:?}");
    user.may(".*", ".*").await?;
    ensure!(findings(&outbox, &user.url, &[]).await?.is_empty());
    // It does not exist: nothing was changed.
    let found = findings(&outbox, &user.url, &[("RELAY_DECLARE", "false")]).await?;
    ensure!(
        found.len() == 1 && text(&found[0].1, "finding").contains("does not exist"),
        "{found:?}"
    );
    Ok(())
}

/// Topic permissions concern single events: none of them counts as a missing permission.
#[tokio::test]
async fn events_whose_routing_key_is_forbidden_fail_alone() -> Tested {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let user = BrokerUser::new(&outbox.vhost, ".*", ".*").await?;
    user.may_write_topics(EXCHANGE, "^order\\.").await?;
    ensure!(findings(&outbox, &user.url, &[]).await?.is_empty());
    for (aggregate, event_type) in
        [("1", "order.created"), ("2", "invoice.paid"), ("3", "order.shipped")]
    {
        outbox.add(aggregate, event_type).await?;
    }
    let relay = outbox.relay_process(&[("RABBITMQ_URL", &user.url)]).await?;
    eventually("the others are published", async || Ok(outbox.pending().await? == 1)).await?;
    let failed = "SELECT count(*) FROM outbox WHERE event_type = 'invoice.paid' AND attempts > 0
                  AND next_attempt_at < 'infinity' AND last_error LIKE '%ACCESS_REFUSED%invoice.paid%'";
    eventually("its reason is noted", async || Ok(outbox.count(failed, &[]).await? == 1)).await?;
    ready(&relay).await.with_context(|| relay.log())?;
    user.may_write_topics(EXCHANGE, ".*").await?;
    outbox.all_published().await.with_context(|| relay.log())
}

#[tokio::test]
async fn events_for_an_exchange_that_may_not_be_written_to_say_so_and_leave_once_it_may() -> Tested
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let user = BrokerUser::new(&outbox.vhost, "^$", "^$").await?;
    let (_strict, strict_url) = StrictBroker::before(&user.url).await?;
    for (url, declare) in [(&user.url, "true"), (&user.url, "false"), (&strict_url, "false")] {
        user.may("^$", "^$").await?;
        outbox.add("7", "order.created").await?;
        let settings = [("RABBITMQ_URL", url.as_str()), ("RELAY_DECLARE", declare)];
        let relay = outbox.relay_process(&settings).await?;
        let failed = "SELECT count(*) FROM outbox WHERE published_at IS NULL AND next_attempt_at < 'infinity'
                      AND last_error LIKE '%ACCESS_REFUSED - %orders.events%'";
        eventually("its reason is noted", async || Ok(outbox.count(failed, &[]).await? == 1))
            .await
            .with_context(|| relay.log())?;
        user.may("^$", ".*").await?;
        outbox.all_published().await.with_context(|| relay.log())?;
    }
    Ok(())
}

#[tokio::test]
async fn an_exchange_that_is_there_is_published_to_without_the_permission_to_declare_it() -> Tested
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let user = BrokerUser::new(&outbox.vhost, "^$", ".*").await?;
    let (_strict, strict_url) = StrictBroker::before(&user.url).await?;
    for (url, declare) in [(&user.url, "true"), (&strict_url, "true"), (&strict_url, "false")] {
        let declare = ("RELAY_DECLARE", declare);
        let relay = outbox.relay_process(&[("RABBITMQ_URL", url), declare]).await?;
        outbox.add("7", "order.created").await?;
        outbox.all_published().await.with_context(|| relay.log())?;
        // The broker closes a channel over this event, and the exchange is checked again.
        user.may_write_topics(EXCHANGE, "^order\\.").await?;
        outbox.add("8", "invoice.paid").await?;
        let failed = "SELECT count(*) FROM outbox WHERE attempts > 0 AND published_at IS NULL";
        eventually("it is refused", async || Ok(outbox.count(failed, &[]).await? == 1)).await?;
        user.may_write_topics(EXCHANGE, ".*").await?;
        outbox.all_published().await.with_context(|| relay.log())?;
        let said =
            "the relay may not declare the exchange orders.events: it publishes to it as it is";
        let times = relay.log().matches(said).count();
        ensure!(times == 1, "it says {times} times that it goes on: {}", relay.log());
        ensure!(findings(&outbox, url, &[declare]).await?.is_empty());
    }
    assert_eq!(outbox.depth("all").await?, 6);
    Ok(())
}

async fn broker_reason(relay: &Service) -> anyhow::Result<String> {
    let ops = address(relay, "operations port is open").await?;
    let answer = stack::http_client()?.get(format!("{ops}/readyz")).send().await?;
    let told: Value = answer.json().await?;
    Ok(text(&told["dependencies"]["rabbitmq"], "reason").to_owned())
}

#[tokio::test]
async fn an_exchange_that_is_missing_is_told_with_its_remedy_and_charged_to_no_event() -> Tested {
    let outbox = Outbox::new().await?;
    let user = BrokerUser::new(&outbox.vhost, "^$", ".*").await?;
    let (_strict, strict_url) = StrictBroker::before(&user.url).await?;
    for (url, declare, said) in [
        (
            &user.url,
            "true",
            "the exchange orders.events does not exist, and the relay may not declare it",
        ),
        (
            &strict_url,
            "true",
            "the exchange orders.events does not exist, and the relay may not declare it",
        ),
        (&strict_url, "false", "the exchange orders.events does not exist (NOT_FOUND"),
    ] {
        outbox.add("7", "order.created").await?;
        let settings = [("RABBITMQ_URL", url.as_str()), ("RELAY_DECLARE", declare)];
        let relay = outbox.relay_process(&settings).await?;
        let told = async || Ok(broker_reason(&relay).await?.starts_with(said));
        eventually(said, told).await.with_context(|| relay.log())?;
        outbox.queue("all", "#").await?;
        outbox.all_published().await.with_context(|| relay.log())?;
        // And when it is deleted while the relay runs.
        outbox.channel.exchange_delete(EXCHANGE.into(), ExchangeDeleteOptions::default()).await?;
        outbox.add("7", "order.shipped").await?;
        eventually(said, told).await.with_context(|| relay.log())?;
        outbox.queue("all", "#").await?;
        outbox.all_published().await.with_context(|| relay.log())?;
        outbox.channel.exchange_delete(EXCHANGE.into(), ExchangeDeleteOptions::default()).await?;
    }
    let charged = "SELECT count(*) FROM outbox WHERE attempts > 0";
    assert_eq!(outbox.count(charged, &[]).await?, 0, "it is no event's fault");
    Ok(())
}

#[tokio::test]
async fn check_finds_limits_on_connections_and_channels() -> Tested {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let user = BrokerUser::new(&outbox.vhost, ".*", ".*").await?;
    ensure!(findings(&outbox, &user.url, &[]).await?.is_empty());
    let one = async |url: &str, settings: &[(&str, &str)]| {
        let found = findings(&outbox, url, settings).await?;
        ensure!(found.len() == 1, "{found:?}");
        let (name, finding) = &found[0];
        let (said, mend) = (text(finding, "finding").to_owned(), text(finding, "mend").to_owned());
        anyhow::Ok((name.clone(), said, mend))
    };

    user.limit("max-connections", 1).await?;
    let (name, said, mend) = one(&user.url, &[]).await?;
    ensure!(
        name == "limits" && said.starts_with("the relay wants 2 connections and gets 1 beside"),
        "{said}"
    );
    assert_eq!(
        mend,
        format!("rabbitmqctl set_user_limits {} '{{\"max-connections\": -1}}'", user.name)
    );
    ensure!(findings(&outbox, &user.url, &[("RELAY_CHANNELS", "1")]).await?.is_empty());
    user.limit("max-connections", 0).await?;
    let (name, said, mend) = one(&user.url, &[]).await?;
    ensure!(name == "broker" && said.contains("connection limit"), "{said}");
    ensure!(mend.contains("set_user_limits"), "{mend}");
    user.limit("max-connections", -1).await?;

    // The other connection is this test's own.
    user.limit_vhost("max-connections", 2).await?;
    let (name, said, mend) = one(&user.url, &[]).await?;
    ensure!(
        name == "limits" && said.starts_with("the relay wants 2 connections and gets 1 beside"),
        "{said}"
    );
    let vhost = &outbox.vhost.name;
    assert_eq!(
        mend,
        format!("rabbitmqctl set_vhost_limits -p {vhost} '{{\"max-connections\": -1}}'")
    );
    user.limit_vhost("max-connections", -1).await?;

    user.limit("max-channels", 3).await?;
    let (name, said, mend) = one(&user.url, &[]).await?;
    ensure!(
        name == "limits"
            && said.starts_with("the relay wants 6 channels (")
            && said.contains(" gets 3 "),
        "{said}"
    );
    ensure!(
        mend.starts_with(&format!("rabbitmqctl set_user_limits {} '{{\"max-channels\"", user.name)),
        "{mend}"
    );
    user.limit("max-channels", -1).await?;
    let narrow = format!("{}?channel_max=2", user.url);
    let (name, said, mend) = one(&narrow, &[]).await?;
    ensure!(
        name == "limits"
            && said.contains(" gets 4 ")
            && said.contains("the broker allows 2 channels"),
        "{said}"
    );
    ensure!(mend.contains("channel_max"), "{mend}");
    ensure!(findings(&outbox, &narrow, &[("RELAY_CHANNELS", "2")]).await?.is_empty());
    Ok(())
}
