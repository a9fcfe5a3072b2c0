//! What `check` finds that a user of the broker may not do.

use anyhow::ensure;
use pipeline_tests::broker_user::BrokerUser;
use pipeline_tests::outbox::Outbox;
use pipeline_tests::relay_check::check_as_broker_user;
use serde_json::Value;

type Tested = anyhow::Result<()>;

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
        let found = check_as_broker_user(&outbox, &user.url, &[("RELAY_DECLARE", declare)]).await?;
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
        let found = check_as_broker_user(&outbox, &user.url, &[("RELAY_DECLARE", declare)]).await?;
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
    let found = check_as_broker_user(&outbox, &user.url, &further).await?;
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
    let found = check_as_broker_user(&outbox, &user.url, &further).await?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn check_finds_a_missing_permission_where_the_exchange_is_still_to_be_declared() -> Tested {
    let outbox = Outbox::new().await?;
    let user = BrokerUser::new(&outbox.vhost, ".*", "^$").await?;
    let found = check_as_broker_user(&outbox, &user.url, &[]).await?;
    ensure!(found.len() == 1 && found[0].0 == "exchange", "{found:?}");
    user.may(".*", ".*").await?;
    ensure!(check_as_broker_user(&outbox, &user.url, &[]).await?.is_empty());
    // It does not exist: nothing was changed.
    let found = check_as_broker_user(&outbox, &user.url, &[("RELAY_DECLARE", "false")]).await?;
    ensure!(
        found.len() == 1 && text(&found[0].1, "finding").contains("does not exist"),
        "{found:?}"
    );
    Ok(())
}

#[tokio::test]
async fn check_finds_limits_on_connections_and_channels() -> Tested {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let user = BrokerUser::new(&outbox.vhost, ".*", ".*").await?;
    ensure!(check_as_broker_user(&outbox, &user.url, &[]).await?.is_empty());
    let one = async |url: &str, settings: &[(&str, &str)]| {
        let found = check_as_broker_user(&outbox, url, settings).await?;
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
    ensure!(check_as_broker_user(&outbox, &user.url, &[("RELAY_CHANNELS", "1")]).await?.is_empty());
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
    ensure!(check_as_broker_user(&outbox, &narrow, &[("RELAY_CHANNELS", "2")]).await?.is_empty());
    Ok(())
}
