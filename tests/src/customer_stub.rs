//! A customer service that answers as a test wants, even wrongly or never.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream;
use poem::http::StatusCode;
use poem::listener::TcpAcceptor;
use poem::{Body, Endpoint, Request, Response, Server};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::order_api::CUSTOMER;

/// How the stub responds to a request for a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Knows one customer.
    Healthy,
    /// Knows no customer.
    KnowsNobody,
    /// The same, one call at a time, each taking this long.
    KnowsNobodyInTurns(Duration),
    /// The same without a problem type, as older releases answer; has `/up`.
    KnowsNobodyUntyped,
    /// Answers each path, even `/up`, with a problem without a type, as an ingress may.
    Elsewhere,
    /// Answers with this status and a body that is not a problem.
    Status(u16),
    /// Answers 200 with a body that is not a customer.
    Garbage,
    /// Answers 200 with a customer with a huge name.
    Endless,
    /// Answers 200 with half of a customer, and closes the connection.
    CutOff,
    /// Accepts the connection and never answers.
    Silent,
    /// Holds its answers until its next behaviour is set.
    Held,
}

/// A running stub. Dropping it stops it.
#[derive(Debug)]
pub struct CustomerStub {
    /// `http://127.0.0.1:port`.
    pub url: String,
    behaviour: watch::Sender<Behaviour>,
    questions: Arc<AtomicUsize>,
    running: JoinHandle<std::io::Result<()>>,
}

struct Answers {
    behaviour: watch::Receiver<Behaviour>,
    questions: Arc<AtomicUsize>,
    turns: Semaphore,
}

impl Answers {
    /// The current behaviour, or the next one while answers are held.
    async fn behaviour(&self) -> Behaviour {
        let mut behaviour = self.behaviour.clone();
        let now = behaviour.wait_for(|behaviour| *behaviour != Behaviour::Held).await;
        *now.expect("the stub is there for as long as its answers")
    }

    async fn answer(&self, path: &str) -> Response {
        let customer = json!({
            "id": CUSTOMER, "name": "Juan Perez", "address": "Cra 7 #12-34, Bogotá", "orders_count": 3,
        });
        match self.behaviour().await {
            Behaviour::Healthy if path == format!("/api/customers/{CUSTOMER}") => {
                Response::builder().body(customer.to_string())
            }
            Behaviour::Healthy | Behaviour::KnowsNobody => not_found(Some(UNKNOWN)),
            Behaviour::KnowsNobodyInTurns(duration) => {
                let _turn = self.turns.acquire().await;
                tokio::time::sleep(duration).await;
                not_found(Some(UNKNOWN))
            }
            Behaviour::KnowsNobodyUntyped | Behaviour::Elsewhere => not_found(None),
            Behaviour::Status(status) => Response::builder()
                .status(StatusCode::from_u16(status).expect("a status"))
                .body(customer.to_string()),
            Behaviour::Garbage => Response::builder().body("<html>welcome</html>"),
            Behaviour::Endless => {
                let name = "x".repeat(1024 * 1024);
                Response::builder().body(json!({"name": name, "address": ""}).to_string())
            }
            Behaviour::CutOff => {
                let half = customer.to_string()[..30].to_owned();
                let end = std::io::Error::other("the end of the connection");
                let parts = stream::iter([Ok(half), Err(end)]);
                Response::builder().body(Body::from_bytes_stream(parts))
            }
            Behaviour::Silent | Behaviour::Held => std::future::pending().await,
        }
    }
}

impl Endpoint for Answers {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let path = request.uri().path();
        if path != "/up" {
            self.questions.fetch_add(1, Ordering::SeqCst);
            return Ok(self.answer(path).await);
        }
        Ok(match *self.behaviour.borrow() {
            Behaviour::Elsewhere => not_found(None),
            _ => Response::builder().body("up\n"),
        })
    }
}

/// The problem type for an unknown customer.
const UNKNOWN: &str = "urn:problem:customer-not-found";

fn not_found(kind: Option<&str>) -> Response {
    let kind = kind.unwrap_or("about:blank");
    let problem: Value = json!({"type": kind, "title": "Not Found", "status": 404, "detail": "."});
    Response::builder()
        .status(StatusCode::NOT_FOUND)
        .content_type("application/problem+json; charset=utf-8")
        .body(problem.to_string())
}

impl CustomerStub {
    /// Starts one with this behaviour.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(behaviour: Behaviour) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (sender, receiver) = watch::channel(behaviour);
        let questions = Arc::new(AtomicUsize::new(0));
        let answers = Answers {
            behaviour: receiver,
            questions: Arc::clone(&questions),
            turns: Semaphore::new(1),
        };
        let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?).run(answers);
        Ok(Self { url, behaviour: sender, questions, running: tokio::spawn(server) })
    }

    /// Changes the behaviour.
    pub fn behave(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(behaviour);
    }

    /// The number of requests for a customer.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

impl Drop for CustomerStub {
    fn drop(&mut self) {
        self.running.abort();
    }
}
