//! A running console, asked as a browser or a program would.

use anyhow::{Context as _, ensure};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use stack::Service;

use crate::dead_letter_queue::DeadLetterQueue;
use crate::outbox::{Outbox, eventually};
use crate::pipeline::{address, ready};

/// A console as a process, and a client of its own.
#[derive(Debug)]
pub struct Console {
    /// `http://127.0.0.1:port`.
    pub url: String,
    /// The process.
    pub process: Service,
    http: Client,
}

/// An answer of the console.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Console {
    /// Starts a console for `outbox`, and for `desk` if there is one. It logs in as its own roles.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(
        outbox: &Outbox,
        desk: Option<&DeadLetterQueue>,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let database = outbox.database.url_as("outbox_console").await?;
        let desk = match desk {
            Some(desk) => {
                let url = desk.database.url_as("dead_letters_console").await?;
                Some((url, desk.broker.amqp_url.clone()))
            }
            None => None,
        };
        let mut own = vec![
            ("DATABASE_URL", database.as_str()),
            ("CONSOLE_ADDR", "127.0.0.1:0"),
            ("OPS_ADDR", "127.0.0.1:0"),
            ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str()),
        ];
        if let Some((url, broker)) = &desk {
            own.extend([("DEAD_LETTERS_DATABASE_URL", url.as_str()), ("RABBITMQ_URL", broker)]);
        }
        let settings = own.into_iter().chain(settings.iter().copied());
        let binary = stack::binary("outbox-relay").await?;
        let process = Service::spawn(binary, ["console"], settings).await?;
        let url = address(&process, "HTTP port is open").await?;
        ready(&process).await?;
        Ok(Self { url, process, http: client()? })
    }

    /// Asks for a page.
    ///
    /// # Errors
    /// When the console does not answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.get_with(path, &[]).await
    }

    /// Asks for a page, with headers.
    ///
    /// # Errors
    /// When the console does not answer.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut request = self.http.get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await?).await
    }

    /// Asks for a page that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub async fn page(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.get(path).await?;
        ensure!(answer.status == StatusCode::OK, "{path}: {} {}", answer.status, answer.text);
        Ok(answer.text)
    }

    /// Asks for what a page shows, as JSON.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn json(&self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.page(&format!("/api{path}")).await?)?)
    }

    /// Sends a form, with headers.
    ///
    /// # Errors
    /// When the console does not answer.
    pub async fn post(
        &self,
        path: &str,
        form: &[(String, String)],
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mut request = self.http.post(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.body(encoded(form)).send().await?).await
    }

    /// Sends JSON, with headers.
    ///
    /// # Errors
    /// When the console does not answer.
    pub async fn post_json(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mut request = self.http.post(format!("{}{path}", self.url)).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await?).await
    }

    /// Reads the form of a page of confirmation: its fields, as a browser would send them.
    ///
    /// # Errors
    /// When the page is not there.
    pub async fn form(&self, path: &str) -> anyhow::Result<Vec<(String, String)>> {
        Self::fields(&self.json(path).await?)
    }

    /// Reads the fields of a page of confirmation, from its JSON.
    ///
    /// # Errors
    /// When it has none.
    pub fn fields(data: &Value) -> anyhow::Result<Vec<(String, String)>> {
        let action = data["action"].as_str().context("the page names an action")?.to_owned();
        let mut form = vec![("action".to_owned(), action)];
        let fields = data["fields"].as_array().context("the page has fields")?;
        for field in fields {
            let name = field["name"].as_str().context("a field has a name")?;
            let value = match &field["value"] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            form.push((name.to_owned(), value));
        }
        Ok(form)
    }

    /// Sends a form that begins an operation, and returns how that ended.
    ///
    /// # Errors
    /// When it does not begin or does not end.
    pub async fn operate(&self, form: &[(String, String)]) -> anyhow::Result<Value> {
        let answer = self.post("/operations", form, &[]).await?;
        ensure!(answer.status == StatusCode::SEE_OTHER, "{} {}", answer.status, answer.text);
        let location = answer.headers.get(LOCATION).context("the answer leads on")?.to_str()?;
        let ended = async || {
            let state = self.json(location).await?["state"].clone();
            Ok(state != "running")
        };
        eventually("the operation ended", ended).await?;
        self.json(location).await
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.text).with_context(|| self.text.clone())
    }

    async fn of(response: reqwest::Response) -> anyhow::Result<Self> {
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Self { status, headers, text: response.text().await? })
    }
}

fn encoded(form: &[(String, String)]) -> String {
    let encode =
        |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    let fields = form.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    fields.collect::<Vec<_>>().join("&")
}

/// A client that does not follow redirections.
fn client() -> anyhow::Result<Client> {
    Ok(stack::http_client_builder()?.redirect(Policy::none()).build()?)
}
