//! Relays whose user of the broker has limited permissions.

use anyhow::{Context as _, ensure};
use lapin::options::ExchangeDeleteOptions;
use pipeline_tests::broker_user::BrokerUser;
use pipeline_tests::outbox::{EXCHANGE, Outbox, eventually};
use pipeline_tests::pipeline::{address, ready};
use pipeline_tests::relay_check::check_as_broker_user;
use pipeline_tests::strict_broker::StrictBroker;
use serde_json::Value;
use stack::Service;

type Tested = anyhow::Result<()>;

/// Topic permissions concern single events: none of them counts as a missing permission.
#[tokio::test]
async fn events_whose_routing_key_is_forbidden_fail_alone() -> Tested {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let user = BrokerUser::new(&outbox.vhost, ".*", ".*").await?;
    user.may_write_topics(EXCHANGE, "^order\\.").await?;
    ensure!(check_as_broker_user(&outbox, &user.url, &[]).await?.is_empty());
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
        ensure!(check_as_broker_user(&outbox, url, &[declare]).await?.is_empty());
    }
    assert_eq!(outbox.depth("all").await?, 6);
    Ok(())
}

async fn broker_reason(relay: &Service) -> anyhow::Result<String> {
    let ops = address(relay, "operations port is open").await?;
    let answer = stack::http_client()?.get(format!("{ops}/readyz")).send().await?;
    let told: Value = answer.json().await?;
    Ok(told["dependencies"]["rabbitmq"]["reason"].as_str().unwrap_or_default().to_owned())
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
