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

/// Look-ups at a service that does with its connections whatever `listener`'s owner does, `limit`
/// for each call.
async fn listening(limit: Duration, time_to_live: Duration) -> (CustomerDirectory, TcpListener) {
    service_kit::telemetry::install_tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let client = Client::new(url.parse().expect("a good URL"), limit, limit).expect("a client");
    let (directory, _) = CustomerDirectory::new(client, time_to_live);
    (directory, listener)
}

/// A service that answers one call like this, and who is known to those who look up there.
async fn answering(answer: &'static [u8]) -> (CustomerDirectory, Customer, JoinHandle<()>) {
    let (directory, listener) = listening(LONG, LONG).await;
    let answered = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let read = stream.read(&mut [0; 1024]).await.expect("a request");
        assert!(read > 0);
        stream.write_all(answer).await.expect("somebody listens");
    });
    let juan = Customer { name: "Juan".to_owned(), address: "Bogotá".to_owned() };
    directory.cache.put(JUAN, juan.clone()).await;
    (directory, juan, answered)
}

fn is_crowded(lookup: &Lookup) -> bool {
    match lookup {
        Lookup::Overloaded(_) => true,
        Lookup::Unavailable(_) => false,
        Lookup::Known(_) | Lookup::Unknown => panic!("an answer: {lookup:?}"),
    }
}

#[tokio::test]
async fn a_request_too_many_is_told_so_at_once_and_is_no_failure() {
    let (directory, _silent) = listening(LONG, LONG).await;
    let caller_permits = Arc::clone(&directory.caller_permits);
    let _all =
        caller_permits.try_acquire_many(u32::try_from(MAX_CALLERS).expect("few")).expect("nobody");
    for _ in 0..20 {
        assert!(is_crowded(&directory.find(JUAN).await));
    }
    assert!(!directory.breaker.is_open(Instant::now()), "the circuit opened because of a crowd");
}

#[tokio::test]
async fn a_call_that_gets_no_turn_blames_the_crowd_only_if_others_were_answered() {
    for others_are_answered in [true, false] {
        let (directory, _silent) = listening(SHORT, LONG).await;
        let call_permits = Arc::clone(&directory.call_permits);
        let _all = call_permits.acquire_many(u32::try_from(MAX_CALLS).expect("few")).await;
        // ResponseCount from before tell nothing.
        directory.responses.record();
        let waiting = tokio::spawn({
            let directory = directory.clone();
            async move { directory.find(JUAN).await }
        });
        while directory.caller_permits.available_permits() == MAX_CALLERS {
            tokio::task::yield_now().await;
        }
        if others_are_answered {
            directory.responses.record();
        }
        assert_eq!(is_crowded(&waiting.await.expect("an outcome")), others_are_answered);
    }
}

#[tokio::test]
async fn calls_that_are_not_answered_in_time_open_the_circuit_unless_others_are_answered() {
    for others_are_answered in [true, false] {
        let (directory, silent) = listening(SHORT, LONG).await;
        for number in 1..=5 {
            let lookup = {
                let directory = directory.clone();
                tokio::spawn(
                    async move { directory.find(CustomerId(Uuid::from_u128(number))).await },
                )
            };
            let call = silent.accept().await.expect("a call");
            if others_are_answered {
                directory.responses.record();
            }
            assert_eq!(is_crowded(&lookup.await.expect("an outcome")), others_are_answered);
            drop(call);
        }
        assert_eq!(directory.breaker.is_open(Instant::now()), !others_are_answered);
    }
}

#[tokio::test]
async fn a_customer_who_could_not_be_asked_for_again_is_still_known_and_asked_for_later() {
    let (directory, juan, answered) =
        answering(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").await;
    let entry = directory.cache.get(JUAN).await.expect("known");
    let late = Instant::now() + LONG;
    assert!(entry.claim_refresh(late));
    assert!(!directory.refresh(JUAN).await);
    assert_eq!(directory.find(JUAN).await, Lookup::Known(juan));
    assert!(entry.claim_refresh(late), "nobody will ask");
    answered.await.expect("one answer");
}

#[tokio::test]
async fn a_customer_who_is_gone_when_asked_for_again_is_forgotten_at_once() {
    let (directory, juan, answered) = answering(
        b"HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\ncontent-length: 41\r\n\r\n\
          {\"type\":\"urn:problem:customer-not-found\"}",
    )
    .await;
    assert_eq!(directory.find(JUAN).await, Lookup::Known(juan));
    assert!(directory.refresh(JUAN).await);
    assert!(directory.cache.get(JUAN).await.is_none());
    // Nobody answers a second call.
    assert_eq!(directory.find(JUAN).await, Lookup::Unknown);
    answered.await.expect("one answer");
}
