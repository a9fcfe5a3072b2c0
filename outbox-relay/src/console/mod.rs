//! The console: what the operator's commands do, in a browser and as JSON.
//!
//! Every page and every change is a command of this program, run as a process of its own with
//! `--json`: the console can do what the commands can, and nothing else.
//!
//! | file | what it does |
//! |---|---|
//! | `config`, `passed_on` | settings: its own, and those of the commands |
//! | `app` | takes requests: checks, login, then a page or a change |
//! | `answers`, `format`, `posting` | a page or its JSON; begins a change |
//! | `api` | JSON bodies of changes, the OpenAPI document |
//! | `request_checks`, `network` | refuses what a foreign page made a browser send |
//! | `login`, `users`, `rights`, `attempts` | who sends a request, and what they may do |
//! | `pages`, `form` | the pages, and the fields that they are asked with |
//! | `action`, `actions` | what can be changed |
//! | `operations`, `report`, `outcome` | what runs or has ended, and how it stands |
//! | `invocation`, `contents`, `command_line` | runs commands, and those that read contents |
//! | `output`, `child_output`, `cut_lists` | what they print, and how much of it is kept |
//! | `history`, `verdict` | samples of the last hour, and whether events flow |
//! | `shared_look` | what is read once for all who look |
//! | `webhook` | tells somebody else's program what is new |
//! | `render`, `json_text`, `responses`, `refusals` | templates, JSON as text, responses with their headers |

mod action;
mod actions;
mod answers;
mod api;
mod app;
mod attempts;
mod child_output;
mod command_line;
mod config;
mod contents;
mod cut_lists;
mod form;
mod format;
mod history;
mod invocation;
mod json_text;
mod login;
mod network;
mod open_letters;
mod operations;
mod outcome;
mod output;
mod pages;
mod passed_on;
mod posting;
mod refusals;
mod render;
mod report;
mod request_checks;
mod responses;
mod rights;
mod shared_look;
mod users;
mod verdict;
mod webhook;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use service_kit::health::{Health, Need};
use service_kit::{config as settings, http, ops, process};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use api::openapi_document;
pub use config::ConsoleConfig;
use config::{AuthKind, ConsoleConfig as Config};
use history::History;
use invocation::Commands;
use login::Login;
use operations::Operations;
use render::Templates;
use request_checks::RequestChecks;
use shared_look::SharedLook;

/// What the pages are made of.
struct Console {
    prefix: String,
    environment: Option<String>,
    hide_payloads: bool,
    trace_url: Option<String>,
    has_desk: bool,
    /// The settings to show, without secrets.
    settings: Value,
    login: Login,
    checks: RequestChecks,
    commands: Arc<Commands>,
    operations: Arc<Operations>,
    /// Held while a body is read.
    bodies: Semaphore,
    history: Arc<History>,
    /// The causes with the most events.
    causes: SharedLook,
    /// The causes that ended lately.
    recovered: SharedLook,
    /// The latest actions on events, and on dead letters.
    event_actions: SharedLook,
    letter_actions: SharedLook,
    templates: Templates,
}

impl ConsoleConfig {
    /// Serves the console until the process is stopped. Invalid settings end it with
    /// [`settings::EXIT_USAGE`].
    #[must_use]
    pub fn run(self) -> ExitCode {
        if let Err(sentence) = self.check() {
            settings::exit_with(&sentence);
        }
        let login = match Login::new(&self.access) {
            Ok(login) => login,
            Err(error) => settings::exit_with(&format!("{error:#}")),
        };
        let process = self.process.clone();
        process::run("outbox-console", &process, self.http.shutdown_delay, |shutdown| async move {
            Box::pin(serve(self, login, shutdown)).await
        })
    }
}

/// Serves the console and its operations port until `shutdown`.
async fn serve(config: Config, login: Login, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listener = ops::bind(&config.access.console_addr, "CONSOLE_ADDR").await?;
    let ops_listener = ops::bind(&config.ops_addr, "OPS_ADDR").await?;
    let address = listener.local_addr().context("the port was just opened")?;
    let console = Arc::new(Console::new(&config, login, shutdown.clone())?);
    let client = webhook::client().context("the client of the webhook")?;
    if config.access.console_auth == AuthKind::None {
        tracing::info!(%address, "the console asks nobody to log in: it can be reached from this machine alone");
    }
    let health = Health::default();
    // Pages of the desk work without the outbox, and each page says what can't be read.
    let database = health.dependency("postgresql", Need::Optional);
    // The port answers until the last change has ended.
    let ops_stop = CancellationToken::new();
    let ops = ops::serve(ops_listener, health, shutdown.clone(), ops_stop.clone());
    let work = async {
        let app = app::App(Arc::clone(&console));
        // The rest is for changes, which are told to stop at once.
        let grace = config.process.shutdown_grace / 2;
        let (served, (), ()) = tokio::join!(
            http::serve(listener, app, &config.http, grace, shutdown.clone()),
            webhook::run(&config.webhook, &client, &console, &shutdown),
            console.history.sample(&console.commands, console.has_desk, &database, &shutdown),
        );
        console.operations.finish().await;
        ops_stop.cancel();
        served
    };
    tokio::try_join!(work, ops).map(drop)
}

impl Console {
    fn new(config: &Config, login: Login, stopping: CancellationToken) -> anyhow::Result<Self> {
        let passed_on = &config.passed_on;
        Ok(Self {
            prefix: config.pages.console_prefix.0.clone(),
            environment: config.pages.console_environment.clone(),
            hide_payloads: config.pages.console_hide_payloads,
            trace_url: config.pages.console_trace_url.clone(),
            has_desk: passed_on.dead_letters_database_url.is_some()
                || passed_on.dead_letters_database_url_file.is_some(),
            settings: shown_settings(config),
            login,
            checks: RequestChecks::new(config),
            commands: Arc::new(Commands::new(
                passed_on,
                config.access.console_without_roles,
                stopping,
            )),
            operations: Arc::new(Operations::default()),
            bodies: Semaphore::new(posting::BODIES),
            history: Arc::new(History::new()),
            causes: SharedLook::default(),
            recovered: SharedLook::default(),
            event_actions: SharedLook::default(),
            letter_actions: SharedLook::default(),
            templates: Templates::parse()?,
        })
    }
}

/// The settings that may be shown.
fn shown_settings(config: &Config) -> Value {
    let access = &config.access;
    let yes = |is: bool| if is { "true" } else { "false" };
    let auth = match access.console_auth {
        AuthKind::None => "none",
        AuthKind::Basic => "basic",
        AuthKind::Token => "token",
        AuthKind::Proxy => "proxy",
    };
    let setting = |name: &str, value: &str| json!({ "name": name, "value": value });
    json!([
        setting("OUTBOX_TABLE", &config.passed_on.outbox_table.text),
        setting("CONSOLE_ADDR", &access.console_addr.to_string()),
        setting("CONSOLE_AUTH", auth),
        setting("CONSOLE_RIGHTS", access.default_rights().text()),
        setting("CONSOLE_WITHOUT_ROLES", yes(access.console_without_roles)),
        setting("CONSOLE_HIDE_PAYLOADS", yes(config.pages.console_hide_payloads)),
        setting("CONSOLE_PREFIX", &config.pages.console_prefix.0),
        setting(
            "CONSOLE_ENVIRONMENT",
            config.pages.console_environment.as_deref().unwrap_or_default()
        ),
    ])
}
