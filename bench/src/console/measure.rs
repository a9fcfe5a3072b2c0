//! The measurement: the pages' times while nothing is published, then drains with and without open
//! consoles, in turn.

use super::browsers::{Browser, Times, open_during, visit};
use super::databases::{Databases, Sizes};
use super::pages::pages;
use super::report::Measured;
use crate::setup::{Draining, RelayProgram, Servers};

/// The pages that the consoles have open during a drain.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// No console is there.
    None,
    /// Each page of the list in turn, another one with each change.
    EachInTurn,
    /// All have the overview open, as when something is wrong.
    Overview,
}

/// Measures a console of this program beside a relay of the same.
pub(super) async fn measure(
    servers: &Servers,
    program: &RelayProgram,
    sizes: Sizes,
    say: impl Fn(&str),
) -> anyhow::Result<Measured> {
    let databases = Databases::new(servers, sizes, &say).await?;
    let (outbox, queue) = (&databases.outbox, &databases.queue);
    let draining = Draining { servers, outbox, queue, relay: program };
    let (due, held_back) = (usize::try_from(sizes.due())?, usize::try_from(sizes.held_back())?);
    let pages = pages(&databases).await?;
    let overview = ["/".to_owned()];
    let mut measured = Measured { pages: pages.clone(), ..Measured::default() };
    for round in 0..sizes.rounds {
        // Each runs first equally often, as the first may slow down the others.
        let mut turns = [Open::EachInTurn, Open::None, Open::Overview];
        turns.rotate_left(round % 3);
        for open in turns {
            say(&format!("round {} of {}: drain, {open:?}", round + 1, sizes.rounds));
            databases.add_due(sizes).await?;
            let (shown, rates) = match open {
                Open::None => {
                    measured.without.push(draining.run(due, 0, held_back).await?.per_second);
                    continue;
                }
                Open::EachInTurn => (&pages[..], &mut measured.with_each),
                Open::Overview => (&overview[..], &mut measured.with_overview),
            };
            let console = databases.console(program).await?;
            let browser = Browser::new(console.address)?;
            if measured.at_rest.is_empty() {
                say("each page, while nothing is published");
                let looks = visit(&browser, &pages, sizes.looks);
                measured.at_rest = open_during(&browser, sizes.open, shown, looks).await?.0;
            }
            let drain = draining.run(due, 0, held_back);
            let (drained, times) = open_during(&browser, sizes.open, shown, drain).await?;
            rates.push(drained.per_second);
            add(&mut measured.meanwhile, times);
            console.stop().await?;
        }
    }
    Ok(measured)
}

fn add(all: &mut Times, times: Times) {
    for (page, more) in times {
        all.entry(page).or_default().extend(more);
    }
}
