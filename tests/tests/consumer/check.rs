//! `customer-service consumer check` finds what keeps a consumer from working, says how to fix it,
//! and changes nothing.

use anyhow::{Context as _, ensure};
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeleteOptions};
use lapin::{BasicProperties, Confirmation};
use pipeline_tests::broker_user::BrokerUser;
use pipeline_tests::closed_port::ClosedPort;
use pipeline_tests::command::Ended;
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE, orders_of, until,
};
use pipeline_tests::customer_command::customer_service;
use serde_json::Value;
use stack::Management;

type Tested = anyhow::Result<()>;

/// Name, state and text of a check.
type Found = (String, String, String);

/// Runs the checks and returns the results.
async fn check(
    fixture: &ConsumerFixture,
    arguments: &[&str],
) -> anyhow::Result<(Ended, Vec<Found>)> {
    let ended = fixture.command(&[&["check", "--json"], arguments].concat()).await?;
    found(ended)
}

fn found(ended: Ended) -> anyhow::Result<(Ended, Vec<Found>)> {
    let document = ended.json()?;
    let mut found = Vec::new();
    for check in document["checks"].as_array().context("checks")? {
        let text = |member: &str| check[member].as_str().unwrap_or_default().to_owned();
        let said = format!("{} {}", text("note"), check["findings"]);
        found.push((text("check"), text("state"), said));
    }
    let fails = found.iter().any(|(_, state, _)| state == "fail");
    ensure!(document["ok"] == !fails && ended.code == Some(i32::from(fails)), "{ended:?}");
    Ok((ended, found))
}

/// The checks that are not ok.
fn wrong(found: &[Found]) -> Vec<(&str, &str)> {
    let all = found.iter().map(|(check, state, _)| (check.as_str(), state.as_str()));
    all.filter(|(_, state)| *state != "ok").collect()
}

/// The text of one check.
fn said<'a>(found: &'a [Found], check: &str) -> &'a str {
    found.iter().find(|(name, ..)| name == check).map_or("nothing", |(.., said)| said)
}

/// All queues and exchanges with their arguments.
async fn objects(fixture: &ConsumerFixture) -> anyhow::Result<Vec<Value>> {
    let management = Management::new(&fixture.broker.management_url)?;
    let mut objects = Vec::new();
    for kind in ["queues", "exchanges", "bindings"] {
        let path = format!("/api/{kind}/{}", fixture.broker.name);
        let all = management.get(&path).await?.context(path)?;
        for object in all.as_array().into_iter().flatten() {
            let parts = ["name", "type", "arguments", "source", "destination", "routing_key"];
            objects.push(Value::Array(parts.map(|part| object[part].clone()).to_vec()));
        }
    }
    Ok(objects)
}

#[tokio::test]
async fn a_fresh_broker_and_a_migrated_database_are_ok_and_stay_as_they_are() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    fixture.customer().await?;
    let before = objects(&fixture).await?;
    let (ended, found) = check(&fixture, &[]).await?;
    ensure!(wrong(&found).is_empty(), "{}", ended.out);
    ensure!(said(&found, "queues").contains("the consumer declares them"), "{}", ended.out);
    ensure!(objects(&fixture).await? == before, "it has declared something");
    let page = fixture.command(&["check"]).await?;
    ensure!(
        page.code == Some(0) && page.out.ends_with("\nA consumer can work here.\n"),
        "{page:?}"
    );

    // No one declares them.
    let (_, found) = check(&fixture, &["--consumer-declare", "false"]).await?;
    assert_eq!(wrong(&found), [("exchanges", "fail"), ("queues", "fail")]);
    ensure!(said(&found, "queues").contains("CONSUMER_DECLARE=true"));

    let consumer = fixture.consumer(&[]).await?;
    let before = objects(&fixture).await?;
    let (_, found) = check(&fixture, &["--consumer-declare", "false"]).await?;
    ensure!(wrong(&found).is_empty(), "{found:?}");
    ensure!(said(&found, "queues").contains("1 consumers"), "{found:?}");
    ensure!(objects(&fixture).await? == before, "it has changed something");
    consumer.stop().await
}

#[tokio::test]
async fn an_old_queue_and_messages_that_wait_are_warnings() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    fixture.old_queue().await?;
    let customer = fixture.customer().await?;
    fixture.publish_all(orders_of(2, customer)).await?;
    ensure!(fixture.send_to(DEAD_LETTER_QUEUE, b"{}").await?);
    let (exchange, key) = ("orders.retry".into(), QUEUE.into());
    let properties = BasicProperties::default().with_expiration("86400000".into());
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let publish = fixture.channel.basic_publish(exchange, key, options, b"{}", properties);
    ensure!(publish.await?.await? == Confirmation::Ack(None));
    let (ended, found) = check(&fixture, &[]).await?;
    assert_eq!(
        wrong(&found),
        [("queues", "warn"), ("dead letters", "warn"), ("retries", "warn")],
        "{}",
        ended.out
    );
    ensure!(said(&found, "queues").contains("rebuild-queue"), "{}", ended.out);
    ensure!(said(&found, "dead letters").contains("1 messages"), "{}", ended.out);
    ensure!(said(&found, "retries").contains("86400000 ms"), "{}", ended.out);
    ensure!(!fixture.is_queue_new().await?);
    for (queue, messages) in [(QUEUE, 2), (DEAD_LETTER_QUEUE, 1), (RETRY_QUEUE, 1)] {
        until(async || Ok((fixture.waiting(queue).await? == messages).then_some(()))).await?;
    }
    // It would not return messages.
    fixture.channel.queue_delete(RETRY_QUEUE.into(), QueueDeleteOptions::default()).await?;
    let durable = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
    fixture.channel.queue_declare(RETRY_QUEUE.into(), durable, Default::default()).await?;
    let (_, found) = check(&fixture, &[]).await?;
    ensure!(said(&found, "queues").contains("customer.orders_count.retry exists with other"));
    let page = fixture.command(&["check"]).await?;
    ensure!(page.out.contains("\nwarn   queues "), "{page:?}");
    ensure!(page.out.contains("A consumer can work here. "), "{page:?}");
    Ok(())
}

#[tokio::test]
async fn what_the_role_lacks_is_named_and_granted_by_what_is_told() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    fixture.customer().await?;
    let role = format!("checker_{}", uuid::Uuid::new_v4().simple());
    fixture.sql.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await?;
    let (_, address) = fixture.database.url.split_once('@').context("an address")?;
    let url = format!("postgres://{role}:x@{address}");
    let run = async |arguments: &[&str]| {
        let settings =
            [("DATABASE_URL", url.as_str()), ("RABBITMQ_URL", fixture.broker.amqp_url.as_str())];
        let arguments = [&["consumer", "check", "--json"], arguments].concat();
        found(customer_service(&arguments, &settings).await?)
    };
    let (ended, found) = run(&[]).await?;
    assert_eq!(wrong(&found), [("privileges", "fail"), ("customers", "fail")], "{}", ended.out);
    let document = ended.json()?;
    let checks = document["checks"].as_array().context("checks")?;
    let privileges = checks.iter().find(|one| one["check"] == "privileges").context("it")?;
    let fixes = privileges["findings"].as_array().context("findings")?;
    ensure!(fixes.len() == 6, "{fixes:?}");
    for fix in fixes {
        fixture.sql.batch_execute(fix["fix"].as_str().context("SQL")?).await?;
    }
    let (ended, found) = run(&[]).await?;
    ensure!(wrong(&found).is_empty(), "{}", ended.out);
    // Without retention nothing is deleted.
    fixture.sql.batch_execute(&format!("REVOKE DELETE ON processed_events FROM {role}")).await?;
    let (ended, found) = run(&[]).await?;
    assert_eq!(wrong(&found), [("privileges", "fail")], "{}", ended.out);
    let (ended, found) = run(&["--processed-events-retention", "off"]).await?;
    ensure!(wrong(&found).is_empty(), "{}", ended.out);
    fixture.sql.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await?;
    Ok(())
}

/// The missing permissions of a user.
async fn forbidden(
    fixture: &ConsumerFixture,
    user: &BrokerUser<'_>,
    arguments: &[&str],
) -> anyhow::Result<Vec<String>> {
    let settings =
        [("DATABASE_URL", fixture.database.url.as_str()), ("RABBITMQ_URL", user.url.as_str())];
    let arguments = [&["consumer", "check", "--json"], arguments].concat();
    let (ended, found) = found(customer_service(&arguments, &settings).await?)?;
    let document = ended.json()?;
    let checks = document["checks"].as_array().context("checks")?;
    let permissions = checks.iter().find(|one| one["check"] == "permissions").context("it")?;
    let mut forbidden = Vec::new();
    for finding in permissions["findings"].as_array().into_iter().flatten() {
        let text = finding["finding"].as_str().context("a text")?;
        let (what, said) = text.split_once(": ").context(text.to_owned())?;
        ensure!(said.starts_with("ACCESS_REFUSED"), "{text}");
        forbidden.push(what.trim_start_matches("the broker's user may not ").to_owned());
    }
    ensure!(
        forbidden.is_empty() == said(&found, "permissions").contains("has the permissions"),
        "{ended:?}"
    );
    Ok(forbidden)
}

#[tokio::test]
async fn what_the_brokers_user_may_not_do_is_named_and_nothing_is_done_to_find_out() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    fixture.customer().await?;
    let user = BrokerUser::new(&fixture.broker, ".*", ".*").await?;
    let nothing_declared = ["--consumer-declare", "false"];
    let before = objects(&fixture).await?;
    ensure!(forbidden(&fixture, &user, &[]).await?.is_empty());
    user.may("^$", ".*").await?;
    let configure = [
        "configure orders.events",
        "configure orders.retry",
        "configure orders.dlx",
        "configure customer.orders_count",
        "configure customer.orders_count.retry",
        "configure customer.orders_count.dlq",
    ];
    assert_eq!(forbidden(&fixture, &user, &[]).await?, configure);
    ensure!(forbidden(&fixture, &user, &nothing_declared).await?.is_empty());
    user.may(".*", r"^(orders\.events|customer\..*)$").await?;
    let write = ["write to orders.retry", "write to orders.dlx"];
    let default = ["write to amq.default"];
    assert_eq!(forbidden(&fixture, &user, &[]).await?, [&write[..], &default].concat());
    user.may_read("^orders").await?;
    assert_eq!(forbidden(&fixture, &user, &[]).await?, ["read customer.orders_count"]);
    ensure!(objects(&fixture).await? == before, "it has declared something");

    // Where everything exists, with messages in the queues.
    fixture.consumer(&[]).await?.stop().await?;
    let customer = fixture.customer().await?;
    fixture.publish_all(orders_of(2, customer)).await?;
    let before = objects(&fixture).await?;
    assert_eq!(forbidden(&fixture, &user, &[]).await?, ["read customer.orders_count"]);
    user.may("^$", "^$").await?;
    assert_eq!(forbidden(&fixture, &user, &[]).await?, write);
    user.may("^$", r"^orders\.(retry|dlx)$").await?;
    for arguments in [&[][..], &nothing_declared] {
        ensure!(forbidden(&fixture, &user, arguments).await?.is_empty());
    }
    ensure!(objects(&fixture).await? == before, "it has changed something");
    for (queue, messages) in [(QUEUE, 2), (RETRY_QUEUE, 0), (DEAD_LETTER_QUEUE, 0)] {
        assert_eq!(fixture.waiting(queue).await?, messages, "{queue}");
    }
    let options = BasicGetOptions { no_ack: true };
    let first = fixture.channel.basic_get(QUEUE.into(), options).await?.context("a message")?;
    ensure!(!first.delivery.redelivered, "it has had the message");
    Ok(())
}

#[tokio::test]
async fn servers_that_can_not_be_reached_and_missing_tables_are_named() -> Tested {
    let servers = stack::shared().await?;
    let (empty, broker) = (servers.database("empty").await?, servers.vhost("check").await?);
    let run = async |database: &str, broker: &str| {
        let settings = [("DATABASE_URL", database), ("RABBITMQ_URL", broker)];
        found(customer_service(&["consumer", "check", "--json"], &settings).await?)
    };
    let (ended, found) = run(&empty.url, &broker.amqp_url).await?;
    let skipped = |check| (check, "skipped");
    assert_eq!(
        wrong(&found),
        [("schema", "fail"), skipped("privileges"), skipped("customers")],
        "{}",
        ended.out
    );
    ensure!(said(&found, "schema").contains("customer-service migrate"), "{}", ended.out);

    let closed = ClosedPort::reserve()?;
    let nowhere = closed.address();
    let (database, amqp) =
        (format!("postgres://x:secret@{nowhere}/x"), format!("amqp://x:secret@{nowhere}"));
    let (ended, found) = run(&database, &amqp).await?;
    let checks: Vec<&str> = wrong(&found).iter().map(|(check, _)| *check).collect();
    let all = ["database", "schema", "privileges", "customers", "broker", "exchanges", "queues"];
    let rest = ["permissions", "dead letters", "retries"];
    assert_eq!(checks, [&all[..], &rest].concat(), "{}", ended.out);
    ensure!(!ended.out.contains("secret") && !ended.err.contains("secret"), "{ended:?}");
    Ok(())
}
