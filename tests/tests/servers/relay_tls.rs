//! TLS to PostgreSQL and RabbitMQ, with certificates of the test's own authorities.

use amqp::Connection;
use anyhow::Context as _;
use pipeline_tests::authority::Authority;
use pipeline_tests::outbox::{Outbox, PATIENCE};
use service_kit::postgres;
use stack::{PostgresServer, RabbitServer, Service};

/// Why connecting fails; `None` if it succeeds.
async fn postgres_refusal(url: &str) -> anyhow::Result<Option<String>> {
    let url = url.parse().map_err(anyhow::Error::msg)?;
    Ok(postgres::connect(&url, "test").await.err().map(|error| format!("{error:#}")))
}

async fn broker_refusal(url: &str) -> anyhow::Result<Option<String>> {
    let url = url.parse().map_err(anyhow::Error::msg)?;
    Ok(Connection::open(&url, "test", 128 << 10).await.err().map(|error| format!("{error:#}")))
}

/// The expected result of an attempt to connect.
#[derive(Debug, Clone, Copy)]
enum Expected {
    LetIn,
    /// Fails with a reason that contains this.
    Refused(&'static str),
    /// Fails with any reason: the server's alert may be lost when it closes the connection.
    RefusedByTheServer,
}

use Expected::{LetIn, Refused, RefusedByTheServer};

fn assert_answer(case: &str, refusal: Option<&str>, expected: Expected) {
    match (expected, refusal) {
        (LetIn, None) | (RefusedByTheServer, Some(_)) => (),
        (Refused(part), Some(refusal)) if refusal.contains(part) => (),
        _ => panic!("{case}: {refusal:?}, not {expected:?}"),
    }
}

#[tokio::test]
async fn a_database_is_believed_when_its_certificate_is_from_the_authority_and_for_the_host()
-> anyhow::Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let (client, stranger) = (authority.client()?, other.client()?);
    let tls = authority.server(&["localhost"], Some(&authority))?;
    let server = PostgresServer::start_temporary_with_tls(tls).await?;
    let vhost = stack::shared().await?.vhost("outbox").await?;
    let outbox = Outbox::on(server.database("outbox").await?, vhost).await?;
    outbox.queue("all", "#").await?;
    outbox.add("7", "order.created").await?;

    let (port, known) = (server.access().port, authority.file());
    let certificate = format!("&sslcert={}&sslkey={}", client.certificate, client.key);
    let url = |hosts: &str, parameters: &str| {
        let (password, name) = (&server.access().password, &outbox.database.name);
        format!("postgres://outbox_relay:{password}@{hosts}/{name}?{parameters}")
    };
    let (right, wrong) = (format!("localhost:{port}"), format!("127.0.0.1:{port}"));
    let full = format!("sslmode=verify-full&sslrootcert={known}");
    let relay = outbox
        .relay_process(&[("DATABASE_URL", &url(&right, &format!("{full}{certificate}")))])
        .await?;
    outbox.all_published().await.with_context(|| relay.log())?;

    let unknown = format!("sslmode=verify-full&sslrootcert={}", other.file());
    let require = format!("sslmode=require&sslrootcert={}", other.file());
    let strange = format!("&sslcert={}&sslkey={}", stranger.certificate, stranger.key);
    for (case, hosts, parameters, expected) in [
        ("the right host", &right, format!("{full}{certificate}"), LetIn),
        ("another host", &wrong, format!("{full}{certificate}"), Refused("not valid for name")),
        (
            "a list with one right host",
            &format!("{wrong},{right}"),
            format!("{full}{certificate}"),
            LetIn,
        ),
        ("any host", &wrong, format!("sslmode=verify-ca&sslrootcert={known}{certificate}"), LetIn),
        ("another authority", &right, format!("{unknown}{certificate}"), Refused("UnknownIssuer")),
        (
            "another authority though any would do",
            &right,
            format!("{require}{certificate}"),
            Refused("UnknownIssuer"),
        ),
        ("no authority asked for", &right, format!("sslmode=require{certificate}"), LetIn),
        (
            "no client certificate",
            &right,
            full.clone(),
            Refused("requires a valid client certificate"),
        ),
        ("a stranger's client certificate", &right, format!("{full}{strange}"), RefusedByTheServer),
        ("clear text", &right, "sslmode=disable".to_owned(), Refused("no encryption")),
    ] {
        let refusal = postgres_refusal(&url(hosts, &parameters)).await?;
        assert_answer(case, refusal.as_deref(), expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_broker_is_believed_when_its_certificate_is_from_the_authority_and_for_the_host()
-> anyhow::Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let (client, stranger) = (authority.client()?, other.client()?);
    let tls = authority.server(&["localhost"], Some(&authority))?;
    let server = RabbitServer::start_temporary_with_tls(tls).await?;
    let database = stack::shared().await?.database("outbox").await?;
    let outbox = Outbox::on(database, server.vhost("outbox").await?).await?;
    outbox.queue("all", "#").await?;
    outbox.add("7", "order.created").await?;

    let port = server.tls_port().context("it speaks TLS")?;
    let url = |host: &str, parameters: &str| {
        let (access, vhost) = (server.access(), &outbox.vhost.name);
        let (user, password) = (&access.user, &access.password);
        format!("amqps://{user}:{password}@{host}:{port}/{vhost}?{parameters}")
    };
    let known = format!("cacertfile={}", authority.file());
    let certificate = format!("&certfile={}&keyfile={}", client.certificate, client.key);
    let right = url("localhost", &format!("{known}{certificate}"));
    let relay = outbox.relay_process(&[("RABBITMQ_URL", &right)]).await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    assert_eq!(outbox.depth("all").await?, 1);

    let unknown = format!("cacertfile={}{certificate}", other.file());
    let strange = format!("{known}&certfile={}&keyfile={}", stranger.certificate, stranger.key);
    let known_client = format!("{known}{certificate}");
    for (case, host, parameters, expected) in [
        ("the right host", "localhost", known_client.clone(), LetIn),
        ("another host", "127.0.0.1", known_client.clone(), Refused("not valid for name")),
        (
            "another host by the right name",
            "127.0.0.1",
            format!("{known_client}&server_name_indication=localhost"),
            LetIn,
        ),
        (
            "the right host by another name",
            "localhost",
            format!("{known_client}&server_name_indication=elsewhere"),
            Refused("not valid for name"),
        ),
        ("any host", "127.0.0.1", format!("{known_client}&server_name_indication=disable"), LetIn),
        ("another authority", "localhost", unknown.clone(), Refused("UnknownIssuer")),
        (
            "another authority, asked for expressly",
            "localhost",
            format!("{unknown}&verify=verify_peer"),
            Refused("UnknownIssuer"),
        ),
        ("any authority", "127.0.0.1", format!("{unknown}&verify=verify_none"), LetIn),
        ("no client certificate", "localhost", known.clone(), RefusedByTheServer),
        ("a stranger's client certificate", "localhost", strange, RefusedByTheServer),
    ] {
        let refusal = broker_refusal(&url(host, &parameters)).await?;
        assert_answer(case, refusal.as_deref(), expected);
    }
    Ok(())
}

#[tokio::test]
async fn files_that_are_of_no_use_end_the_relay_at_start_with_a_sentence() -> anyhow::Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let (client, stranger) = (authority.client()?, other.client()?);
    let (database, broker) = ("postgres://u:hunter2@h/d", "amqps://u:hunter2@h/v");
    let (own, key) = (&client.certificate, &client.key);
    let program = stack::binary("outbox-relay").await?;
    for (variable, parameters, said) in [
        ("DATABASE_URL", "sslrootcert=/nowhere".to_owned(), "/nowhere can't be read"),
        ("DATABASE_URL", format!("sslrootcert={key}"), "holds no certificate"),
        ("DATABASE_URL", format!("sslcert={own}"), "sslcert and sslkey go together"),
        ("DATABASE_URL", format!("sslcert={own}&sslkey={own}"), "can't be read"),
        (
            "DATABASE_URL",
            format!("sslcert={own}&sslkey={}", stranger.key),
            "sslcert and sslkey don't fit",
        ),
        ("RABBITMQ_URL", "cacertfile=/nowhere".to_owned(), "/nowhere can't be read"),
        ("RABBITMQ_URL", format!("cacertfile={key}"), "holds no certificate"),
        ("RABBITMQ_URL", format!("keyfile={key}"), "certfile and keyfile go together"),
        ("RABBITMQ_URL", format!("certfile={own}&keyfile={own}"), "can't be read"),
        (
            "RABBITMQ_URL",
            format!("certfile={own}&keyfile={}", stranger.key),
            "certfile and keyfile don't fit",
        ),
        ("RABBITMQ_URL", "verify=sometimes".to_owned(), "verify_peer, verify_none"),
        ("RABBITMQ_URL", "cacert=/nowhere".to_owned(), "none of cacertfile"),
    ] {
        let mut settings = [
            ("DATABASE_URL", format!("{database}?")),
            // Without an authority the system's are used, and there may be none.
            ("RABBITMQ_URL", format!("{broker}?cacertfile={}", authority.file())),
        ];
        let base = if variable == "DATABASE_URL" { database } else { broker };
        for (name, url) in &mut settings {
            if *name == variable && parameters.contains("cacertfile") {
                *url = format!("{base}?{parameters}");
            } else if *name == variable {
                *url = format!("{url}&{parameters}");
            }
        }
        let no_arguments: [&str; 0] = [];
        let relay = Service::spawn(&program, no_arguments, settings).await?;
        let status = relay.wait_exit(PATIENCE).await?;
        let log = relay.log();
        assert_eq!(status.code(), Some(64), "{parameters}: {log}");
        assert!(log.contains(variable) && log.contains(said), "{parameters}: {log}");
        assert!(!log.contains("hunter2") && log.lines().count() == 1, "{log}");
    }
    Ok(())
}
