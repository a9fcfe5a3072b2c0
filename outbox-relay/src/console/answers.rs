//! Answers what was asked for: a page, or what it shows as JSON, or why there is none.

use poem::Response;
use poem::http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Console;
use super::format::Format;
use super::pages::{NoPage, Page, PageRequest, back};
use super::refusals::text;
use super::responses;
use super::rights::Rights;
use super::users::User;

/// A request of somebody who is logged in.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) page: PageRequest,
    /// Its path and query as they were sent.
    pub(super) shown_path: String,
    pub(super) format: Format,
    /// What has changed up to then ([`History::version`](super::history::History::version)).
    pub(super) version: String,
}

impl Console {
    /// Leads to another page, for programs in JSON too.
    pub(super) fn see_other(&self, format: Format, path: &str) -> Response {
        responses::see_other(&self.address(format, path))
    }

    /// The address of a page, or of what it shows as JSON.
    pub(super) fn address(&self, format: Format, path: &str) -> String {
        let api = if format == Format::Json { "/api" } else { "" };
        format!("{}{api}{path}", self.prefix)
    }

    /// Answers with a page, or with why there is none.
    pub(super) fn answer(&self, asked: &Asked, page: Result<Page, NoPage>) -> Response {
        match (page, asked.format) {
            (Err(NoPage::At(path)), format) => self.see_other(format, &path),
            (Ok(page), Format::Json) => {
                responses::json(StatusCode::OK, &self.leading_on_as_json(page.data))
            }
            (Err(why), Format::Json) => {
                let (status, _, detail, remedy) = why.describe();
                responses::problem(status, &detail, remedy, &[])
            }
            (Ok(page), Format::Html) => self.draw(asked, StatusCode::OK, page),
            (Err(why), Format::Html) => {
                let (status, title, detail, remedy) = why.describe();
                let form = &asked.page.form;
                let data = json!({
                    "status": status.as_u16(),
                    "title": title,
                    "detail": detail,
                    "remedy": remedy,
                    "back": form.get("back").map(|_| back(&self.prefix, form)),
                });
                let (template, title) = ("problem.html", title.to_owned());
                let page = Page { template, title, section: "", command: None, data };
                self.draw(asked, status, page)
            }
        }
    }

    /// A program goes on to the next part of a list as JSON, too.
    fn leading_on_as_json(&self, mut data: Value) -> Value {
        if let Some(next) = data.get_mut("next")
            && let Some(path) = next.as_str().and_then(|next| next.strip_prefix(&*self.prefix))
        {
            *next = Value::from(self.address(Format::Json, path));
        }
        data
    }

    fn draw(&self, asked: &Asked, status: StatusCode, page: Page) -> Response {
        let Page { template, title, section, command, data } = page;
        let context = json!({
            "page": { "title": title, "nav": section, "path": asked.shown_path },
            "prefix": self.prefix,
            "environment": self.environment,
            "user": user(&asked.page.user),
            "command": command,
            "now": OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
            "version": env!("CARGO_PKG_VERSION"),
            "changes": asked.version,
            "hide_payloads": self.hide_payloads,
            "has_desk": self.has_desk,
            "data": data,
            "form": asked.page.form.to_object(),
        });
        match self.templates.render(template, context) {
            Ok(page) => responses::html(status, page),
            Err(error) => {
                tracing::error!(template, "a page could not be drawn: {error:#}");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "This page could not be drawn. The log says why.\n",
                )
            }
        }
    }
}

/// The user for templates.
fn user(user: &User) -> Value {
    json!({
        "name": user.name,
        "rights": user.rights,
        "may_mend": user.rights >= Rights::Operator,
        "may_destroy": user.rights >= Rights::Admin,
    })
}
