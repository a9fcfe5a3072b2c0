//! A customer service that answers as a test wants, also wrongly or never.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use poem::http::StatusCode;
use poem::listener::TcpAcceptor;
use poem::{Endpoint, Request, Response, Server};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::order_api::CUSTOMER;

/// What the stub does with a question for a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Knows one customer, and answers 404 for all others.
    Healthy,
    /// Answers with this status.
    Status(u16),
    /// Answers 200 with something that is no customer.
    Garbage,
    /// Answers 200 with a customer whose name is endless.
    Endless,
    /// Accepts the connection and never answers.
    Silent,
}

/// A running stub. Dropping it ends it.
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
}

impl Endpoint for Answers {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let path = request.uri().path().to_owned();
        if path == "/up" {
            return Ok(Response::builder().body("up\n"));
        }
        self.questions.fetch_add(1, Ordering::SeqCst);
        let customer = json!({
            "id": CUSTOMER, "name": "Juan Perez", "address": "Cra 7 #12-34, Bogotá", "orders_count": 3,
        });
        let behaviour = *self.behaviour.borrow();
        Ok(match behaviour {
            Behaviour::Healthy if path == format!("/api/customers/{CUSTOMER}") => {
                Response::builder().body(customer.to_string())
            }
            Behaviour::Healthy => Response::builder().status(StatusCode::NOT_FOUND).finish(),
            Behaviour::Status(status) => Response::builder()
                .status(StatusCode::from_u16(status).expect("a status"))
                .body(customer.to_string()),
            Behaviour::Garbage => Response::builder().body("<html>welcome</html>"),
            Behaviour::Endless => {
                let name = "x".repeat(1024 * 1024);
                Response::builder().body(json!({"name": name, "address": ""}).to_string())
            }
            Behaviour::Silent => std::future::pending().await,
        })
    }
}

impl CustomerStub {
    /// Starts one that behaves like `behaviour`.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(behaviour: Behaviour) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (sender, receiver) = watch::channel(behaviour);
        let questions = Arc::new(AtomicUsize::new(0));
        let answers = Answers { behaviour: receiver, questions: Arc::clone(&questions) };
        let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?).run(answers);
        Ok(Self { url, behaviour: sender, questions, running: tokio::spawn(server) })
    }

    /// Behaves otherwise from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(behaviour);
    }

    /// How often it was asked for a customer.
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
