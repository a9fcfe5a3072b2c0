//! The base URL of the customer service.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// A base URL: `http` or `https`, without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The URL of a path under the base.
    pub(super) fn join(&self, path: &str) -> Result<Url, String> {
        self.0.join(path).map_err(|error| error.to_string())
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "it must look like http://host:3001";
        let mut url: Url = text.parse().map_err(|_| FORM.to_owned())?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
            return Err(FORM.to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it must not hold a user or a password".to_owned());
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_have_a_path_and_no_password() {
        let url: BaseUrl = "http://gateway:8080/customers".parse().expect("a good URL");
        let call = url.join("api/customers/7").expect("a good path");
        assert_eq!(call.as_str(), "http://gateway:8080/customers/api/customers/7");
        for bad in ["", "customer-service:3001", "ftp://h/", "http://u:hunter2@h/", "http://h/?a=b"]
        {
            let error = bad.parse::<BaseUrl>().expect_err(bad);
            assert!(!error.contains("hunter2"));
        }
    }
}
