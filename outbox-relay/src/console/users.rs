//! The file of users: who may log in, with what secret, and what they may do.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::rights::Rights;

/// A short secret can be guessed.
const SHORTEST_SECRET: usize = 12;

/// A larger file is a mistake.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Somebody who is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) rights: Rights,
}

/// The users of the file.
#[derive(Default)]
pub(super) struct Users {
    by_name: HashMap<String, Account>,
}

/// The hash makes all secrets equally long, so that comparing them always takes the same time.
struct Account {
    rights: Rights,
    secret: [u8; 32],
}

impl Users {
    /// Reads the file. With `needs_secrets` each user has one.
    ///
    /// # Errors
    /// When a line is wrong; the error names its number and shows nothing of it.
    pub(super) fn read(path: &Path, needs_secrets: bool) -> anyhow::Result<Self> {
        let read = || {
            let mut text = String::new();
            File::open(path)?.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
            let is_small = text.len() as u64 <= LARGEST_FILE;
            ensure!(is_small, "it has more than the {LARGEST_FILE} bytes that are allowed");
            Ok::<_, anyhow::Error>(text)
        };
        let text = read().with_context(|| format!("CONSOLE_USERS_FILE {}", path.display()))?;
        Self::parse(&text, needs_secrets)
            .with_context(|| format!("CONSOLE_USERS_FILE {}", path.display()))
    }

    fn parse(text: &str, needs_secrets: bool) -> anyhow::Result<Self> {
        let mut by_name = HashMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, account) =
                parse_line(line, needs_secrets).with_context(|| format!("line {number}"))?;
            ensure!(by_name.insert(name, account).is_none(), "line {number}: the name is not new");
        }
        ensure!(!needs_secrets || !by_name.is_empty(), "it names nobody");
        Ok(Self { by_name })
    }

    /// Returns the user with this name and secret. Takes as long for a name that does not exist.
    pub(super) fn with_password(&self, name: &str, secret: &str) -> Option<User> {
        let (unknown, given) = ([0; 32], hash(secret));
        let account = self.by_name.get(name);
        let own = account.map_or(&unknown, |account| &account.secret);
        let is_right: bool = own.ct_eq(&given).into();
        account
            .filter(|_| is_right)
            .map(|account| User { name: name.to_owned(), rights: account.rights })
    }

    /// Returns the user with this secret. Compares it with all, in the same time.
    pub(super) fn with_token(&self, token: &str) -> Option<User> {
        let given = hash(token);
        let mut found = None;
        for (name, account) in &self.by_name {
            if account.secret.ct_eq(&given).into() {
                found = Some(User { name: name.clone(), rights: account.rights });
            }
        }
        found
    }

    /// Returns what the user with this name may do.
    pub(super) fn rights_of(&self, name: &str) -> Option<Rights> {
        self.by_name.get(name).map(|account| account.rights)
    }
}

fn parse_line(line: &str, needs_secret: bool) -> anyhow::Result<(String, Account)> {
    let mut fields = line.splitn(3, ':');
    let name = fields.next().unwrap_or_default().trim();
    let rights = fields.next().unwrap_or_default().trim();
    let secret = fields.next().unwrap_or_default();
    ensure!(!name.is_empty(), "it must look like NAME:RIGHTS:SECRET");
    ensure!(!name.chars().any(char::is_control), "the name has control characters");
    let Ok(rights) = Rights::from_str(rights, false) else {
        bail!("the rights must be viewer, operator or admin");
    };
    let is_long = secret.len() >= SHORTEST_SECRET;
    ensure!(!needs_secret || is_long, "the secret must have {SHORTEST_SECRET} characters at least");
    Ok((name.to_owned(), Account { rights, secret: hash(secret) }))
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# who\n\nalice:admin:correct horse\nbob:viewer:battery:staple\n";

    #[test]
    fn a_user_is_known_by_name_and_secret() {
        let users = Users::parse(FILE, true).expect("a file");
        let alice = User { name: "alice".to_owned(), rights: Rights::Admin };
        assert_eq!(users.with_password("alice", "correct horse"), Some(alice.clone()));
        assert_eq!(users.with_password("alice", "battery:staple"), None);
        assert_eq!(users.with_password("bob", ""), None);
        assert_eq!(users.with_password("carol", "correct horse"), None);
        assert_eq!(users.with_token("correct horse"), Some(alice));
        assert_eq!(users.with_token("correct hors"), None);
        assert_eq!(users.rights_of("bob"), Some(Rights::Viewer));
        assert_eq!(users.rights_of("carol"), None);
    }

    #[test]
    fn what_is_wrong_is_named_without_the_secret() {
        for (text, said) in [
            ("alice:admin:short", "line 1: the secret must have 12 characters at least"),
            ("\nalice:root:correct horse", "line 2: the rights must be viewer, operator or admin"),
            ("correct horse battery", "line 1: the rights must be viewer, operator or admin"),
            (":admin:correct horse", "line 1: it must look like NAME:RIGHTS:SECRET"),
            ("a:admin:correct horse\na:admin:correct horse", "line 2: the name is not new"),
            ("# nobody", "it names nobody"),
        ] {
            let error = Users::parse(text, true).err().expect(text);
            assert_eq!(format!("{error:#}"), said);
        }
        assert!(Users::parse("alice:admin", false).is_ok());
    }
}
