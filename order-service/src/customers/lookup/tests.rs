use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::super::Customer;
use super::*;

const JUAN: CustomerId = CustomerId(Uuid::nil());

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

/// What a silent service's calls are given.
const SHORT: Duration = Duration::from_millis(300);

/// Look-ups at a service that does with its connections whatever `listener`'s owner does, `limit` for each call.
async fn listening(limit: Duration, time_to_live: Duration) -> (Lookups, TcpListener) {
    service_kit::telemetry::install_tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let client = Client::new(url.parse().expect("a good URL"), limit, limit).expect("a client");
    let (lookups, _) = lookups(client, time_to_live);
    (lookups, listener)
}

/// A service that answers one call like this, and who is known to those who look up there.
async fn answering(answer: &'static [u8]) -> (Lookups, Customer, JoinHandle<()>) {
    let (lookups, listener) = listening(LONG, LONG).await;
    let answered = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let read = stream.read(&mut [0; 1024]).await.expect("a request");
        assert!(read > 0);
        stream.write_all(answer).await.expect("somebody listens");
    });
    let juan = Customer { name: "Juan".to_owned(), address: "Bogotá".to_owned() };
    lookups.cache.put(JUAN, juan.clone()).await;
    (lookups, juan, answered)
}

fn is_crowded(lookup: &Lookup) -> bool {
    match lookup {
        Lookup::Crowded(_) => true,
        Lookup::Unavailable(_) => false,
        Lookup::Known(_) | Lookup::Unknown => panic!("an answer: {lookup:?}"),
    }
}

#[tokio::test]
async fn a_request_too_many_is_told_so_at_once_and_is_no_failure() {
    let (lookups, _silent) = listening(LONG, LONG).await;
    let callers = Arc::clone(&lookups.callers);
    let _all = callers.try_acquire_many(u32::try_from(CALLERS).expect("few")).expect("nobody");
    for _ in 0..20 {
        assert!(is_crowded(&lookups.find(JUAN).await));
    }
    assert!(!lookups.breaker.is_open(Instant::now()), "the circuit opened because of a crowd");
}

#[tokio::test]
async fn a_call_that_gets_no_turn_blames_the_crowd_only_if_others_were_answered() {
    for others_are_answered in [true, false] {
        let (lookups, _silent) = listening(SHORT, LONG).await;
        let under_way = Arc::clone(&lookups.under_way);
        let _all = under_way.acquire_many(u32::try_from(UNDER_WAY).expect("few")).await;
        // Answers from before tell nothing.
        lookups.answers.record();
        let waiting = tokio::spawn({
            let lookups = lookups.clone();
            async move { lookups.find(JUAN).await }
        });
        while lookups.callers.available_permits() == CALLERS {
            tokio::task::yield_now().await;
        }
        if others_are_answered {
            lookups.answers.record();
        }
        assert_eq!(is_crowded(&waiting.await.expect("an outcome")), others_are_answered);
    }
}

#[tokio::test]
async fn calls_that_are_not_answered_in_time_open_the_circuit_unless_others_are_answered() {
    for others_are_answered in [true, false] {
        let (lookups, silent) = listening(SHORT, LONG).await;
        for number in 1..=5 {
            let lookup = {
                let lookups = lookups.clone();
                tokio::spawn(async move { lookups.find(CustomerId(Uuid::from_u128(number))).await })
            };
            let call = silent.accept().await.expect("a call");
            if others_are_answered {
                lookups.answers.record();
            }
            assert_eq!(is_crowded(&lookup.await.expect("an outcome")), others_are_answered);
            drop(call);
        }
        assert_eq!(lookups.breaker.is_open(Instant::now()), !others_are_answered);
    }
}

#[tokio::test]
async fn a_customer_who_could_not_be_asked_for_again_is_still_known_and_asked_for_later() {
    let (lookups, juan, answered) =
        answering(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").await;
    let entry = lookups.cache.get(JUAN).await.expect("known");
    let late = Instant::now() + LONG;
    assert!(entry.is_due(late));
    assert!(!lookups.renew(JUAN).await);
    assert_eq!(lookups.find(JUAN).await, Lookup::Known(juan));
    assert!(entry.is_due(late), "nobody will ask");
    answered.await.expect("one answer");
}

#[tokio::test]
async fn a_customer_who_is_gone_when_asked_for_again_is_forgotten_at_once() {
    let (lookups, juan, answered) = answering(
        b"HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\ncontent-length: 41\r\n\r\n\
          {\"type\":\"urn:problem:customer-not-found\"}",
    )
    .await;
    assert_eq!(lookups.find(JUAN).await, Lookup::Known(juan));
    assert!(lookups.renew(JUAN).await);
    assert!(lookups.cache.get(JUAN).await.is_none());
    // Nobody answers a second call.
    assert_eq!(lookups.find(JUAN).await, Lookup::Unknown);
    answered.await.expect("one answer");
}
