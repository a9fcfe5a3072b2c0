//! The fewest faults of a plan after which a guarantee does not hold, by delta debugging
//! (Zeller and Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*, 2002).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::plan::{Fault, Plan};

/// Writes the smallest plan that it finds to `minimal.json` in `out`.
///
/// # Errors
/// When the whole plan does not fail again.
pub(crate) fn minimise(plan: &Plan, out: &Path) -> anyhow::Result<()> {
    let out = std::path::absolute(out)?;
    std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let mut runs = 0;
    let mut fails = |faults: &[Fault]| {
        runs += 1;
        writeln!(std::io::stderr(), "run {runs}: {} faults", faults.len())?;
        let folder = out.join(format!("run-{runs}"));
        let plan = Plan { seed: plan.seed, faults: faults.to_vec() };
        let file = out.join(format!("run-{runs}.json"));
        plan.write(&file)?;
        replay_fails(&file, &folder)
    };
    ensure!(
        fails(&plan.faults)?,
        "every guarantee held this time: a run depends on more than its faults, so try again"
    );
    let faults = fewest(plan.faults.clone(), &mut fails)?;
    let file = out.join("minimal.json");
    writeln!(std::io::stdout(), "{} faults are left: --replay {}", faults.len(), file.display())?;
    for fault in &faults {
        writeln!(std::io::stdout(), "{fault}")?;
    }
    Plan { seed: plan.seed, faults }.write(&file)
}

/// Leaves out ever smaller parts, as long as what is left still fails.
fn fewest(
    mut faults: Vec<Fault>,
    fails: &mut impl FnMut(&[Fault]) -> anyhow::Result<bool>,
) -> anyhow::Result<Vec<Fault>> {
    let mut parts = 2;
    'smaller: while faults.len() > 1 {
        let size = faults.len().div_ceil(parts);
        for start in (0..faults.len()).step_by(size) {
            let end = (start + size).min(faults.len());
            let rest = [&faults[..start], &faults[end..]].concat();
            if fails(&rest)? {
                faults = rest;
                parts = (parts - 1).max(2);
                continue 'smaller;
            }
        }
        if parts >= faults.len() {
            break;
        }
        parts = (parts * 2).min(faults.len());
    }
    Ok(faults)
}

/// Runs the faults of the file `plan` in another process. Returns true if the checker finds that a
/// guarantee does not hold.
fn replay_fails(plan: &Path, out: &Path) -> anyhow::Result<bool> {
    let program = std::env::current_exe()?;
    let mut run = Command::new(program);
    run.arg("--replay").arg(plan).arg("--out").arg(out).stdout(Stdio::null());
    let status = run.stderr(Stdio::null()).status()?;
    ensure!(status.code() != Some(2), "the run of {} itself failed", plan.display());
    Ok(status.code() == Some(1))
}

#[cfg(test)]
mod tests {
    use super::fewest;
    use crate::plan::{Fault, Kind};

    fn faults(numbers: impl IntoIterator<Item = usize>) -> Vec<Fault> {
        let fault = |number| Fault {
            number,
            kind: Kind::Kill,
            target: "relay-1".to_owned(),
            lasts: 1,
            gap: 1,
        };
        numbers.into_iter().map(fault).collect()
    }

    #[test]
    fn only_what_the_failure_needs_is_left() {
        for needed in [&[7][..], &[2, 90], &[1, 50, 100], &[30, 31, 32, 33]] {
            let mut runs = 0;
            let left = fewest(faults(1..=100), &mut |faults| {
                runs += 1;
                let has = |number| faults.iter().any(|fault| fault.number == number);
                Ok(needed.iter().all(|number| has(*number)))
            });
            let left: Vec<usize> = left.unwrap().iter().map(|fault| fault.number).collect();
            assert_eq!(left, needed);
            assert!(runs < 200, "{runs} runs");
        }
    }

    #[test]
    fn a_failure_that_needs_all_keeps_all() {
        let left = fewest(faults(1..=8), &mut |faults| Ok(faults.len() == 8));
        assert_eq!(left.unwrap().len(), 8);
    }
}
