//! Settings of the webhook.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use poem::http::HeaderValue;
use reqwest::Url;
use service_kit::config::read_file;

/// Settings of the webhook.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Webhook")]
pub(in crate::console) struct WebhookArgs {
    /// The address by which people know the console, with CONSOLE_PREFIX: links in what the
    /// webhook gets begin with it, such as https://ops.example.com/outbox
    #[arg(long, env = "CONSOLE_URL", value_name = "URL")]
    console_url: Option<PublicUrl>,

    /// Where news is posted to as JSON: new causes of failures, events that became stuck, new dead
    /// letters
    #[arg(long, env = "CONSOLE_WEBHOOK_URL", hide_env_values = true, value_name = "URL")]
    console_webhook_url: Option<HookUrl>,

    /// A file that holds `CONSOLE_WEBHOOK_URL`
    #[arg(long, env = "CONSOLE_WEBHOOK_URL_FILE", value_name = "FILE", value_parser = read_file::<HookUrl>, conflicts_with = "console_webhook_url")]
    console_webhook_url_file: Option<HookUrl>,

    /// A file that holds a bearer token for it
    #[arg(long, env = "CONSOLE_WEBHOOK_TOKEN_FILE", value_name = "FILE", value_parser = read_file::<Token>)]
    console_webhook_token_file: Option<Token>,
}

impl WebhookArgs {
    /// Checks what can't be checked one by one.
    ///
    /// # Errors
    /// A sentence that names the settings.
    pub(in crate::console) fn check(&self) -> Result<(), String> {
        // Either is the one `Authorization` of a post.
        if self.authorization().is_some() && self.url().is_some_and(has_login) {
            return Err("CONSOLE_WEBHOOK_URL has a login, and CONSOLE_WEBHOOK_TOKEN_FILE a token: a post carries one of them, so leave out the other".to_owned());
        }
        Ok(())
    }

    /// Where news is posted to, if anywhere.
    pub(super) fn url(&self) -> Option<&Url> {
        let url = self.console_webhook_url.as_ref().or(self.console_webhook_url_file.as_ref());
        url.map(|url| &url.0)
    }

    /// The header by which the webhook knows the console.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.console_webhook_token_file.as_ref().map(|token| &token.0)
    }

    /// What stands before the path of a page: the console's address, or else its prefix.
    pub(super) fn base(&self, prefix: &str) -> String {
        self.console_url.as_ref().map_or_else(|| prefix.to_owned(), |url| url.0.clone())
    }
}

/// The console's address, without a slash at its end.
#[derive(Debug, Clone)]
struct PublicUrl(String);

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "it must look like https://ops.example.com/outbox".to_owned();
        let url: Url = text.parse().map_err(|_| form())?;
        let is_plain = url.query().is_none() && url.fragment().is_none();
        if !is_web(&url) || !is_plain || has_login(&url) {
            return Err(form());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// The webhook's address, which may be a secret. Its `Debug` shows nothing.
#[derive(Clone)]
struct HookUrl(Url);

impl FromStr for HookUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url: Option<Url> = text.trim().parse().ok();
        let url = url.filter(is_web);
        url.map(Self).ok_or_else(|| "it must look like https://hooks.example.com/…".to_owned())
    }
}

impl fmt::Debug for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookUrl")
    }
}

/// `Bearer …` (RFC 6750). Its `Debug` shows nothing.
#[derive(Debug, Clone)]
struct Token(HeaderValue);

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let token = text.trim();
        let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let value = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| is_token);
        let mut value = value.ok_or("it must be one line of visible ASCII characters")?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

fn has_login(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_and_secrets_are_not_shown() {
        let base: PublicUrl = "https://ops.example.com/outbox/".parse().expect("a URL");
        assert_eq!(base.0, "https://ops.example.com/outbox");
        for wrong in ["ops.example.com", "ftp://a", "https://u:p@a", "https://a/?b"] {
            assert!(wrong.parse::<PublicUrl>().is_err(), "{wrong}");
        }
        let hook: HookUrl = "https://hooks.example.com/T0/secret\n".parse().expect("a URL");
        let token: Token = "secret\n".parse().expect("a token");
        assert!(!format!("{hook:?} {token:?}").contains("secret"));
        assert!("hooks".parse::<HookUrl>().is_err());
        assert!("two words".parse::<Token>().is_err() && "".parse::<Token>().is_err());
    }
}
