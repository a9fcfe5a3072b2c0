//! URLs and addresses as deployments have them: RabbitMQ's without a virtual host, PostgreSQL's
//! with libpq's parameters, and host names to listen on.

use std::process::Output;

use anyhow::{Context as _, ensure};
use lapin::options::{
    BasicGetOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use pipeline_tests::outbox::{Outbox, PATIENCE, eventually};
use pipeline_tests::pipeline::{address, ready};
use pipeline_tests::relay_command::outbox_relay;
use stack::{PostgresServer, Service};
use tokio::process::Command;

#[tokio::test]
async fn a_broker_url_that_ends_in_a_slash_means_the_default_virtual_host() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let broker = stack::shared().await?.rabbitmq;
    // All tests share the default virtual host: the exchange is this test's own.
    let exchange = format!("{}.events", outbox.vhost.name);
    let connection =
        Connection::connect(&broker.amqp_url("%2f"), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let name = ShortString::try_new(exchange.as_str())?;
    let (declare, table) = (ExchangeDeclareOptions::default(), FieldTable::default());
    channel.exchange_declare(name.clone(), ExchangeKind::Topic, declare, table).await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let queue = channel.queue_declare("".into(), exclusive, FieldTable::default()).await?;
    let (bind, table) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue.name().clone(), name.clone(), "#".into(), bind, table).await?;

    outbox.add("7", "order.created").await?;
    let url = broker.amqp_url("");
    ensure!(url.ends_with('/'), "{url}");
    let settings = [
        ("RABBITMQ_URL", url.as_str()),
        ("RELAY_EXCHANGE", exchange.as_str()),
        ("RELAY_DECLARE", "false"),
    ];
    let relay = outbox.relay_process(&settings).await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    let got = channel.basic_get(queue.name().clone(), BasicGetOptions { no_ack: true }).await?;
    ensure!(got.is_some(), "the message is elsewhere");
    channel.exchange_delete(name, ExchangeDeleteOptions::default()).await?;
    connection.close(200, "OK".into()).await?;
    Ok(())
}

/// Accepted parameters, and whether they are reported as ignored.
const PARAMETERS: [(&str, bool); 22] = [
    ("target_session_attrs=any", false),
    ("target_session_attrs=primary", false),
    ("target_session_attrs=prefer-standby", false),
    ("target_session_attrs=read-write", false),
    ("gssencmode=disable", true),
    ("client_encoding=utf8", true),
    ("sslcompression=0", true),
    ("fallback_application_name=shop", true),
    ("application_name=shop", true),
    ("krbsrvname=postgres", true),
    ("passfile=/nonexistent", true),
    ("service=shop", true),
    ("requirepeer=postgres", true),
    ("sslcrl=/nonexistent", true),
    ("ssl_min_protocol_version=TLSv1.2", true),
    ("sslsni=1", false),
    ("options=-c%20search_path%3Dpublic", false),
    ("connect_timeout=10", false),
    ("channel_binding=prefer", false),
    ("keepalives_idle=30", false),
    ("keepalives_count=3", false),
    ("load_balance_hosts=random", false),
];

fn with(url: &str, parameters: &str) -> String {
    format!("{url}{}{parameters}", if url.contains('?') { '&' } else { '?' })
}

#[tokio::test]
async fn what_libpq_takes_in_a_database_url_stops_no_program_and_what_means_nothing_is_named()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let orders = stack::shared().await?.database("orders").await?;
    let customers = stack::shared().await?.database("customers").await?;
    let all = PARAMETERS.map(|(parameter, _)| parameter).join("&");
    let ignored = PARAMETERS.iter().filter(|(_, ignored)| *ignored);
    let names = ignored.filter_map(|(parameter, _)| parameter.split('=').next());
    let warning = format!("parameters=\"{}\"", names.collect::<Vec<_>>().join(", "));
    let with_all = |url: &str| with(url, &all);
    let listen = [("LISTEN_ADDR", "127.0.0.1:0"), ("OPS_ADDR", "127.0.0.1:0")];
    let spawn = async |program: &str, role: &str, url: &str| {
        let url = with_all(url);
        let settings = [
            ("DATABASE_URL", url.as_str()),
            ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str()),
            ("CUSTOMER_CHECK", "off"),
        ];
        let settings = listen.into_iter().chain(settings);
        Service::spawn(stack::binary(program).await?, [role], settings).await
    };
    for (program, role, url) in [
        ("outbox-relay", "run", &outbox.relay_url),
        ("order-service", "serve", &orders.url),
        ("customer-service", "api", &customers.url),
        ("customer-service", "consumer", &customers.url),
    ] {
        let service = spawn(program, role, url).await?;
        ready(&service).await.with_context(|| service.log())?;
        let said = service.wait_for_line(&warning, PATIENCE).await?;
        ensure!(said.contains("WARN") && said.contains("they are ignored"), "{said}");
        let times = service.log().matches(&warning).count();
        ensure!(times == 1, "{program} says it {times} times: {}", service.log());
    }
    // Each separately, as the commands parse it.
    for (parameter, _) in PARAMETERS {
        let url = with(&outbox.relay_url, parameter);
        let settings = [("DATABASE_URL", url.as_str())];
        let ended = outbox_relay(&["status"], &settings).await?;
        ensure!(ended.code == Some(0), "{parameter}: {ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_parameter_that_can_not_be_taken_ends_each_program_with_a_sentence_that_names_it()
-> anyhow::Result<()> {
    for (parameter, said) in [
        ("pgbouncer=true", "parameter pgbouncer"),
        ("connect_timeout=soon", "connect_timeout"),
        (
            "target_session_attrs=standby",
            "target_session_attrs=standby asks for a server that takes no writes",
        ),
        ("target_session_attrs=read-only", "target_session_attrs=read-only asks for a server"),
        ("sslmode=require&sslrootcert=system", "sslrootcert=system goes with sslmode=verify-full"),
        ("gssencmode=require", "gssencmode=require can't be met"),
    ] {
        let url = format!("postgres://u:hunter2@127.0.0.1:1/d?{parameter}");
        for (program, arguments) in [
            ("outbox-relay", &["run"][..]),
            ("outbox-relay", &["check"]),
            ("order-service", &["serve"]),
            ("customer-service", &["api"]),
            ("customer-service", &["migrate"]),
        ] {
            let settings = [
                ("DATABASE_URL", url.as_str()),
                ("RABBITMQ_URL", "amqp://h"),
                ("CUSTOMER_CHECK", "off"),
            ];
            let ended = run(program, arguments, &settings).await?;
            let words = String::from_utf8(ended.stderr)?;
            ensure!(ended.status.code() == Some(64), "{program} {parameter}: {words}");
            ensure!(words.starts_with("error: DATABASE_URL: ") && words.contains(said), "{words}");
            ensure!(!words.contains("hunter2") && words.lines().count() == 1, "{words}");
        }
    }
    Ok(())
}

async fn run(
    program: &str,
    arguments: &[&str],
    settings: &[(&str, &str)],
) -> anyhow::Result<Output> {
    let mut command = Command::new(stack::binary(program).await?);
    command.args(arguments).env_clear().envs(settings.iter().copied()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    Ok(output.with_context(|| format!("{program} {arguments:?} does not end"))??)
}

/// Every program writes, and so needs a writable server, whatever the URL says.
#[tokio::test]
async fn of_several_hosts_the_one_that_can_be_written_to_is_used() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let postgres = stack::shared().await?.postgres;
    let read_only = PostgresServer::start_temporary().await?;
    read_only.access().create_if_missing(&outbox.database.name).await?;
    let sql = pipeline_tests::outbox::connect(&read_only.url(&outbox.database.name)).await?;
    sql.batch_execute(include_str!("../../../sql/outbox/schema.sql")).await?;
    sql.batch_execute(include_str!("../../../sql/roles.sql")).await?;
    read_only.access().set_password("outbox_relay", &postgres.password).await?;
    sql.batch_execute("ALTER SYSTEM SET default_transaction_read_only = on").await?;
    sql.batch_execute("SELECT pg_reload_conf()").await?;

    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", read_only.access().port, postgres.port);
    let (password, name) = (&postgres.password, &outbox.database.name);
    for attributes in [
        "",
        "?target_session_attrs=any",
        "?target_session_attrs=primary",
        "?target_session_attrs=prefer-standby",
    ] {
        let url = format!("postgres://outbox_relay:{password}@{hosts}/{name}{attributes}");
        outbox.add("7", "order.created").await?;
        let relay = outbox.relay_process(&[("DATABASE_URL", &url)]).await?;
        outbox.all_published().await.with_context(|| format!("{attributes}: {}", relay.log()))?;
    }
    Ok(())
}

#[tokio::test]
async fn the_operations_port_listens_on_a_name_and_health_asks_it_there() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let orders = stack::shared().await?.database("orders").await?;
    let customers = stack::shared().await?.database("customers").await?;
    for (program, role, url) in [
        ("outbox-relay", "run", &outbox.relay_url),
        ("order-service", "serve", &orders.url),
        ("customer-service", "api", &customers.url),
        ("customer-service", "consumer", &customers.url),
    ] {
        let settings = [
            ("DATABASE_URL", url.as_str()),
            ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str()),
            ("CUSTOMER_CHECK", "off"),
            ("LISTEN_ADDR", "localhost:0"),
            ("OPS_ADDR", "localhost:0"),
        ];
        let service = Service::spawn(stack::binary(program).await?, [role], settings).await?;
        let open = address(&service, "operations port is open").await?;
        ensure!(open.starts_with("http://127.0.0.1:"), "{open}");
        ready(&service).await.with_context(|| service.log())?;
        let port = open.rsplit(':').next().context("a port")?;
        let ops_addr = format!("localhost:{port}");
        eventually("health finds it", async || {
            let asked = run(program, &["health"], &[("OPS_ADDR", &ops_addr)]).await?;
            Ok(asked.status.code() == Some(0))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_name_that_can_not_be_resolved_ends_the_process_with_a_sentence() -> anyhow::Result<()> {
    // RFC 6761 reserves the name, so that it never resolves.
    let wrong = "nowhere.invalid:9000";
    for (program, role, variables) in [
        ("outbox-relay", "run", &["OPS_ADDR"][..]),
        ("outbox-relay", "health", &["OPS_ADDR"]),
        ("order-service", "serve", &["OPS_ADDR", "LISTEN_ADDR"]),
        ("order-service", "health", &["OPS_ADDR"]),
        ("customer-service", "api", &["OPS_ADDR", "LISTEN_ADDR"]),
        ("customer-service", "consumer", &["OPS_ADDR"]),
        ("customer-service", "health", &["OPS_ADDR"]),
    ] {
        for variable in variables {
            let settings = [
                ("DATABASE_URL", "postgres://u@127.0.0.1:1/d"),
                ("RABBITMQ_URL", "amqp://h"),
                ("CUSTOMER_CHECK", "off"),
                (*variable, wrong),
            ];
            let ended = run(program, &[role], &settings).await?;
            let words = String::from_utf8(ended.stderr)?;
            ensure!(ended.status.code() == Some(64), "{program} {role} {variable}: {words}");
            let said = format!(
                "error: {variable}: \"{wrong}\" is refused: the name nowhere.invalid can't be resolved: "
            );
            ensure!(words.starts_with(&said) && words.lines().count() == 1, "{words}");
        }
    }
    Ok(())
}
