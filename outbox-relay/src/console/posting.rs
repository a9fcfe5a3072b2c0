//! `POST /operations`: begins what a form or a JSON body says. Both become the same fields.

use std::time::Duration;

use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Request, Response};
use service_kit::config::EXIT_USAGE;
use service_kit::http::read_body;
use uuid::Uuid;

use super::Console;
use super::answers::Asked;
use super::api::body;
use super::form::Form;
use super::format::{Format, has_json};
use super::invocation::InvocationError;
use super::operations::{Operation, State};
use super::pages::{self, NoPage};
use super::refusals::Refused;
use super::responses;
use super::rights::Rights;
use crate::commands::EXIT_UNAVAILABLE;

/// The largest body: a payload with what it was before.
const LARGEST_BODY: usize = 8 * 1024 * 1024;

/// How many bodies are read at a time.
pub(super) const BODIES: usize = 2;

/// How long a body waits for its turn: others may be sent slowly.
const TURN: Duration = Duration::from_secs(15);

/// How long a person waits for the end of an operation before its page is shown: most end sooner,
/// and need no page that says that they have begun.
const ENDS_SOON: Duration = Duration::from_secs(1);

/// How long a program can wait for the end of its operation.
const LONGEST_WAIT: u64 = 60;

impl Console {
    /// Begins an operation.
    pub(super) async fn post(&self, mut request: Request, mut asked: Asked) -> Response {
        let is_json = has_json(request.headers());
        if is_json {
            asked.format = Format::Json;
        }
        if asked.page.user.rights < Rights::Operator {
            let why = format!(
                "This needs the rights of operator at least; {} has those of viewer.",
                asked.page.user.name
            );
            return self.answer(&asked, Err(NoPage::Forbidden(why)));
        }
        let wait = match wait(&asked.page.form) {
            Ok(wait) => wait,
            Err(why) => return self.answer(&asked, Err(NoPage::Invalid(why))),
        };
        match self.read_form(&mut request, is_json).await {
            Ok(form) => asked.page.form = form,
            Err(refused) => return refused,
        }
        match pages::begin(self, &asked.page) {
            Err(why) => self.answer(&asked, Err(why)),
            Ok(id) if is_json => {
                tokio::time::timeout(wait, self.operations.ended(id)).await.ok();
                self.tell(id, !wait.is_zero())
            }
            Ok(id) => {
                let soon = tokio::time::timeout(ENDS_SOON, async {
                    self.operations.ended(id).await;
                    // Its page says what else is wrong.
                    self.history.sample_now().await;
                });
                soon.await.ok();
                self.see_other(asked.format, &format!("/operations/{id}"))
            }
        }
    }

    /// Reads the fields of a body.
    async fn read_form(&self, request: &mut Request, is_json: bool) -> Result<Form, Response> {
        // Each large one is in memory several times.
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN, self.bodies.acquire()).await else {
            let why = "Too many changes arrive at once: try again soon.";
            let format = if is_json { Format::Json } else { Format::Html };
            return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, why).response(format));
        };
        let body = request.take_body();
        let bytes = read_body(request, body, LARGEST_BODY).await;
        let bytes = bytes.map_err(IntoResponse::into_response)?;
        if !is_json {
            return Ok(Form::parse(&String::from_utf8_lossy(&bytes)));
        }
        body::form(&bytes).map_err(|faults| {
            let detail = faults.join(" ");
            responses::problem(StatusCode::BAD_REQUEST, &detail, "", &faults)
        })
    }

    /// Tells a program how an operation stands.
    fn tell(&self, id: Uuid, has_waited: bool) -> Response {
        let Some(operation) = self.operations.find(id) else {
            let gone = "The operation has ended and is forgotten: the audit has what was done.";
            return Refused::new(StatusCode::NOT_FOUND, gone).response(Format::Json);
        };
        let status = if has_waited { status(&operation) } else { StatusCode::ACCEPTED };
        let report = serde_json::to_value(operation.report()).unwrap_or_default();
        let mut response = responses::json(status, &report);
        let location = self.address(Format::Json, &format!("/operations/{id}"));
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

/// How long a program waits, as it says in `?wait=SECONDS`.
fn wait(query: &Form) -> Result<Duration, String> {
    let Some(text) = query.get("wait") else { return Ok(Duration::ZERO) };
    let seconds = text.parse::<u64>().map_err(|_| {
        format!("wait={text} is no number of seconds: give one from 0 to {LONGEST_WAIT}.")
    })?;
    Ok(Duration::from_secs(seconds.min(LONGEST_WAIT)))
}

/// The status for who has waited for an operation.
fn status(operation: &Operation) -> StatusCode {
    match &operation.state {
        State::Waiting | State::Running => StatusCode::ACCEPTED,
        State::Ended(Ok(output)) => match output.status {
            0 | 3 => StatusCode::OK,
            EXIT_USAGE => StatusCode::BAD_REQUEST,
            EXIT_UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
            // Another number matches by now, or some could not be changed.
            _ => StatusCode::CONFLICT,
        },
        State::Ended(Err(
            InvocationError::Busy(_) | InvocationError::TooSlow | InvocationError::Unavailable(_),
        )) => StatusCode::SERVICE_UNAVAILABLE,
        // Somebody has stopped it.
        State::Ended(Err(InvocationError::NotBegun | InvocationError::Stopped)) => {
            StatusCode::CONFLICT
        }
        State::Ended(Err(_)) => StatusCode::BAD_GATEWAY,
    }
}
