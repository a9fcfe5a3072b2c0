//! Looks at pages: as browsers do in which a page is open, and one after the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use reqwest::redirect::Policy;
use serde_json::Value;

/// The time between two looks whether something has changed: that of `console.js`.
const POLL: Duration = Duration::from_secs(5);

/// The times of each page, in milliseconds.
pub(super) type Times = BTreeMap<String, Vec<f64>>;

/// A client of a console.
#[derive(Debug, Clone)]
pub(super) struct Browser {
    http: reqwest::Client,
    url: String,
}

impl Browser {
    pub(super) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        // A page of the search box leads to another one.
        let http = stack::http_client_builder()?.redirect(Policy::none()).build()?;
        Ok(Self { http, url: format!("http://{address}") })
    }

    /// Loads a page, and notes how long that took.
    async fn load(&self, page: &str, times: &mut Times) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.get(page).await?;
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        times.entry(page.to_owned()).or_default().push(took);
        Ok(())
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(
            status.is_success() || status.is_redirection(),
            "{path}: {status}: this run has no result\n{text}"
        );
        Ok(text)
    }

    /// The version of what the pages show.
    async fn version(&self) -> anyhow::Result<Value> {
        let changes: Value = serde_json::from_str(&self.get("/changes").await?)?;
        changes.get("version").cloned().context("no version")
    }

    /// Has a page open until it is dropped, and loads another one whenever something has changed.
    async fn stay(&self, number: usize, pages: &[String], times: &mut Times) -> anyhow::Result<()> {
        // Not all at the same moment, and not all at the same page.
        tokio::time::sleep(POLL * u32::try_from(number % 10)? / 10).await;
        let mut next = pages.iter().cycle().skip(number * 7);
        let mut shown = None;
        let mut polls = tokio::time::interval(POLL);
        loop {
            polls.tick().await;
            let version = self.version().await?;
            if shown.as_ref() != Some(&version) {
                shown = Some(version);
                self.load(next.next().context("there are no pages")?, times).await?;
            }
        }
    }
}

/// Does `work` while `count` browsers have pages open. Returns the times of theirs as well.
pub(super) async fn open_during<T>(
    browser: &Browser,
    count: usize,
    pages: &[String],
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(T, Times)> {
    let mut all: Vec<Times> = vec![Times::new(); count];
    let done = {
        let browsers =
            all.iter_mut().enumerate().map(|(number, times)| browser.stay(number, pages, times));
        tokio::select! {
            done = work => done?,
            // They end when one of them fails.
            failed = try_join_all(browsers), if count > 0 => {
                failed?;
                anyhow::bail!("the browsers have ended");
            }
        }
    };
    let mut times = Times::new();
    for (page, more) in all.into_iter().flatten() {
        times.entry(page).or_default().extend(more);
    }
    Ok((done, times))
}

/// Goes through all pages, one after the other, this many times.
pub(super) async fn visit(
    browser: &Browser,
    pages: &[String],
    looks: usize,
) -> anyhow::Result<Times> {
    let mut times = Times::new();
    for page in std::iter::repeat_n(pages, looks).flatten() {
        browser.load(page, &mut times).await?;
    }
    Ok(times)
}
