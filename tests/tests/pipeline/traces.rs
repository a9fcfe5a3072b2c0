//! A trace leads from an order's request to its customer's counter.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use lapin::types::AMQPValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use pipeline_tests::collector::{Collected, CollectorBehaviour, TraceCollector};
use pipeline_tests::consumer_fixture::until;
use pipeline_tests::order_api::{accepted, order};
use pipeline_tests::outbox::Outbox;
use pipeline_tests::pipeline::{PATIENCE, connect};
use pipeline_tests::traced_pipeline::{SOON, TracedPipeline};
use serde_json::Value;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Service, name, kind and parent's name of each span of a trace.
type Tree = BTreeSet<(&'static str, &'static str, SpanKind, &'static str)>;

/// The spans of a new order.
const ORDERED: [(&str, &str, SpanKind, &str); 5] = [
    ("order-service", "POST /api/orders", SpanKind::Server, "the caller"),
    ("order-service", "create order.created", SpanKind::Producer, "POST /api/orders"),
    ("outbox-relay", "publish orders.events", SpanKind::Client, "create order.created"),
    (
        "customer-consumer",
        "process customer.orders_count",
        SpanKind::Consumer,
        "create order.created",
    ),
    (
        "customer-consumer",
        "INSERT processed_events UPDATE customers",
        SpanKind::Client,
        "process customer.orders_count",
    ),
];

/// The lookup of its customer, who is not cached yet.
const CHECKED: [(&str, &str, SpanKind, &str); 2] = [
    ("order-service", "GET /api/customers/{id}", SpanKind::Client, "POST /api/orders"),
    ("customer-service", "GET /api/customers/{id}", SpanKind::Server, "GET /api/customers/{id}"),
];

/// Waits until the trace has as many spans as `expected` and compares them.
async fn trace(
    collector: &TraceCollector,
    trace_id: &str,
    expected: &[(&'static str, &'static str, SpanKind, &'static str)],
) -> anyhow::Result<Vec<Collected>> {
    let of_trace = || {
        let spans = collector.so_far();
        spans.into_iter().filter(|span| span.trace_id == trace_id).collect::<Vec<_>>()
    };
    let spans = until(async || Ok(Some(of_trace()).filter(|spans| spans.len() >= expected.len())))
        .await
        .with_context(|| format!("there are only {:#?}", of_trace()))?;
    let name_of = |id: &str| match spans.iter().find(|span| span.id == id) {
        Some(span) => span.name.clone(),
        None => "the caller".to_owned(),
    };
    let known: BTreeSet<_> = spans
        .iter()
        .map(|span| (span.service.clone(), span.name.clone(), span.kind, name_of(&span.parent)))
        .collect();
    let expected: Tree = expected.iter().copied().collect();
    let expected: BTreeSet<_> = expected
        .into_iter()
        .map(|(service, name, kind, parent)| {
            (service.to_owned(), name.to_owned(), kind, parent.to_owned())
        })
        .collect();
    assert_eq!(known, expected);
    assert!(spans.iter().all(|span| !span.failed), "{spans:#?}");
    Ok(spans)
}

fn named<'a>(spans: &'a [Collected], name: &str) -> anyhow::Result<&'a Collected> {
    spans.iter().find(|span| span.name == name).with_context(|| format!("no span {name}"))
}

#[tokio::test]
async fn one_trace_leads_from_the_request_to_the_counter() -> anyhow::Result<()> {
    let collector = TraceCollector::start(CollectorBehaviour::Kind).await?;
    let pipeline = TracedPipeline::start(&collector).await?;
    let post = || {
        let url = format!("{}/api/orders", pipeline.order_url);
        Ok::<_, anyhow::Error>(stack::http_client()?.post(url).json(&order()))
    };

    let parent = format!("00-{TRACE}-{CALLER}-01");
    let traced = post()?.header("traceparent", &parent).header("tracestate", "a=1");
    let made = accepted(traced.send().await?).await?;
    let spans = trace(&collector, TRACE, &[&ORDERED[..], &CHECKED].concat()).await?;
    assert_eq!(named(&spans, "POST /api/orders")?.parent, CALLER);

    // The row has the context in which the event was created, and so does the message.
    let sql = connect(&pipeline.orders.url).await?;
    let headers = "SELECT headers FROM outbox WHERE payload->>'order_public_id' = $1";
    let id = made["id"].as_str().context("an id")?;
    let headers: Value = sql.query_one(headers, &[&id]).await?.get(0);
    let creation = named(&spans, "create order.created")?;
    assert_eq!(headers["traceparent"], format!("00-{TRACE}-{}-01", creation.id));
    assert_eq!(headers["tracestate"], "a=1");
    assert_eq!(creation.attributes["order.id"], id);

    let attribute = |name, attribute: &str| {
        let span = named(&spans, name)?;
        let value = span.attributes.get(attribute);
        value.cloned().with_context(|| format!("{name} has no {attribute}: {span:#?}"))
    };
    let event: String = sql.query_one("SELECT event_id::text FROM outbox", &[]).await?.get(0);
    for (span, name, value) in [
        ("POST /api/orders", "http.request.method", "POST"),
        ("POST /api/orders", "http.route", "/api/orders"),
        ("POST /api/orders", "url.path", "/api/orders"),
        ("POST /api/orders", "http.response.status_code", "201"),
        ("publish orders.events", "messaging.system", "rabbitmq"),
        ("publish orders.events", "messaging.operation.type", "send"),
        ("publish orders.events", "messaging.destination.name", "orders.events:order.created"),
        ("publish orders.events", "messaging.rabbitmq.destination.routing_key", "order.created"),
        ("publish orders.events", "messaging.message.id", &event),
        ("process customer.orders_count", "messaging.operation.type", "process"),
        (
            "process customer.orders_count",
            "messaging.destination.name",
            "orders.events:order.created:customer.orders_count",
        ),
        ("process customer.orders_count", "messaging.message.id", &event),
        ("INSERT processed_events UPDATE customers", "db.system.name", "postgresql"),
        ("INSERT processed_events UPDATE customers", "db.operation.batch.size", "1"),
    ] {
        assert_eq!(attribute(span, name)?, value, "{name} of {span}");
    }

    // A request without a trace context starts a trace. The customer is cached by now.
    accepted(post()?.send().await?).await?;
    let first =
        collector.span(|span| span.kind == SpanKind::Server && span.parent.is_empty()).await?;
    assert_ne!(first.trace_id, TRACE);
    trace(&collector, &first.trace_id, &ORDERED).await?;
    // Health probes are not traced.
    let up = stack::http_client()?.get(format!("{}/up", pipeline.order_url)).send().await?;
    assert_eq!(up.status(), 200);
    accepted(post()?.send().await?).await?;
    let third = |span: &Collected| {
        span.kind == SpanKind::Server && span.parent.is_empty() && span.trace_id != first.trace_id
    };
    collector.span(third).await?;
    assert!(
        collector.so_far().iter().all(|span| !span.attributes.values().any(|value| value == "/up"))
    );
    Ok(())
}

#[tokio::test]
async fn an_event_that_says_nothing_of_a_trace_begins_one_when_it_is_sent() -> anyhow::Result<()> {
    let collector = TraceCollector::start(CollectorBehaviour::Kind).await?;
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_SERVICE_NAME", "sidecar"),
        SOON,
    ];
    let relay = outbox.relay_process(&settings).await?;
    relay.wait_for_line("traces are exported", PATIENCE).await?;
    outbox.add("7", "order.created").await?;
    let sent = collector.span(|span| span.name == "publish orders.events").await?;
    assert_eq!((sent.service.as_str(), sent.kind), ("sidecar", SpanKind::Producer));
    assert_eq!(sent.parent, "");
    outbox.all_published().await?;
    let messages = outbox.take_all("all").await?;
    let headers = messages[0].delivery.properties.headers().as_ref().context("headers")?;
    let told = format!("00-{}-{}-01", sent.trace_id, sent.id);
    assert_eq!(headers.inner().get("traceparent"), Some(&AMQPValue::LongString(told.into())));
    Ok(())
}

#[tokio::test]
async fn a_trace_that_its_caller_does_not_keep_is_not_kept_here_either() -> anyhow::Result<()> {
    let collector = TraceCollector::start(CollectorBehaviour::Kind).await?;
    let pipeline = TracedPipeline::start(&collector).await?;
    let url = format!("{}/api/orders", pipeline.order_url);
    let parent = format!("00-{TRACE}-{CALLER}-00");
    let post = stack::http_client()?.post(&url).json(&order()).header("traceparent", parent);
    accepted(post.send().await?).await?;
    // The next trace is sampled, and exported after it.
    accepted(stack::http_client()?.post(&url).json(&order()).send().await?).await?;
    let kept = collector.span(|span| span.name == "create order.created").await?;
    trace(&collector, &kept.trace_id, &ORDERED).await?;
    ensure!(collector.so_far().iter().all(|span| span.trace_id != TRACE));
    // The event must carry that decision.
    let sql = connect(&pipeline.orders.url).await?;
    let told = "SELECT headers->>'traceparent' FROM outbox ORDER BY id LIMIT 1";
    let told: String = sql.query_one(told, &[]).await?.get(0);
    assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00"), "{told}");
    Ok(())
}
