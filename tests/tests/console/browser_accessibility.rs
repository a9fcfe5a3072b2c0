//! The console for everybody: axe-core finds no barrier on any page, in light and dark colours and on
//! a phone; nothing is wider than the screen. Pictures of the pages are kept to be looked at:
//! `WRITE_SCREENSHOTS=1` writes those of the documentation.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use pipeline_tests::browser::{Browser, Hands, Media, Scripts, Shop, Tab, axe_source};

type Tested = anyhow::Result<()>;

/// How tall a picture may be.
const TALLEST: u64 = 960;

/// The largest that is committed, in bytes.
const LARGEST: usize = 100_000;

/// The pages that have pictures.
const PICTURES: [(&str, &str); 6] = [
    ("overview", "/"),
    ("cause", "/failures/a1c43e0597d2b86f?kind=returned&type=shipment.planned"),
    ("event", "/events/0199a000-0000-7000-8000-000000019000"),
    ("dead-letter", "/dead-letters/1"),
    ("confirm", "/confirm/discard?kind=returned&fingerprint=a1c43e0597d2b86f"),
    ("failures", "/failures"),
];

/// Pages that differ from those and from each other.
const OTHERS: [&str; 25] = [
    "/events",
    "/events?state=stuck",
    "/events?state=published",
    "/events?state=waiting&type=order.paid&since=2h",
    "/events?state=parked",
    "/aggregates/order/4801",
    "/aggregates/order/none",
    "/failures/0000000000000000",
    "/dead-letters",
    "/dead-letters?state=returned",
    "/dead-letters/groups",
    "/pauses",
    "/relays",
    "/audit",
    "/audit?actor=bea",
    "/audit?of=dead_letters",
    "/about",
    "/search?q=nothing",
    "/nowhere",
    "/confirm/edit?event_id=0199a000-0000-7000-8000-000000019000",
    "/confirm/edit-headers?event_id=0199a000-0000-7000-8000-000000019000",
    "/confirm/pause",
    "/confirm/return?queue=billing.dlq",
    "/confirm/note?id=1",
    "/confirm/edit-letter?id=1",
];

/// What is cut off or needs scrolling to the side.
const TOO_WIDE: &str = "
    const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    return wide > 0 ? `the page is ${wide} pixels too wide` : '';";

/// Checkboxes that stand apart from their label, or from those of the other rows.
const MISPLACED: &str = "
    const place = (each) => each.getBoundingClientRect();
    const gap = (box) => place(box.parentElement.querySelector('label')).left - place(box).right;
    const apart = [...document.querySelectorAll('.row.is-check input')].some((box) => gap(box) > 24);
    const sides = [...document.querySelectorAll('tbody .check input')].map((box) => Math.round(place(box).right));
    return apart ? 'a label is far from its checkbox' : new Set(sides).size > 1 ? 'a checkbox is not below the others' : '';";

/// Times of the page, which differ from picture to picture.
const STEADY: &str = "
    document.querySelector('footer time').textContent = 'now';
    document.activeElement?.blur();";

async fn looked_at(media: Media, name: &str) -> Tested {
    let axe = axe_source(env!("CARGO_TARGET_TMPDIR"))?;
    let shop = Shop::open().await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&shop.console.url, Hands::Mouse, Scripts::On).await?;
    tab.show_as(media).await?;
    let mut barriers = Vec::new();
    let look = async |barriers: &mut Vec<String>, page: &str| -> Tested {
        let found = tab.barriers(&axe).await.with_context(|| page.to_owned())?;
        barriers.extend(found.into_iter().map(|finding| format!("{page}: {finding}")));
        for script in [TOO_WIDE, MISPLACED] {
            let found = tab.run(script, vec![]).await?;
            let found = found.as_str().filter(|found| !found.is_empty());
            barriers.extend(found.map(|found| format!("{page}: {found}")));
        }
        Ok(())
    };
    for (picture, page) in PICTURES {
        tab.open(page).await?;
        keep(&tab, &format!("{picture}-{name}")).await?;
        look(&mut barriers, page).await?;
    }
    for page in OTHERS {
        tab.open(page).await?;
        look(&mut barriers, page).await?;
    }
    // The help, and an operation that has ended.
    tab.open("/").await?;
    tab.press("Keys").await?;
    look(&mut barriers, "the help").await?;
    tab.open("/confirm/return?id=1").await?;
    tab.press("Return 1 dead letter").await?;
    tab.see("Done.").await.with_context(|| format!("{barriers:#?}"))?;
    keep(&tab, &format!("operation-{name}")).await?;
    look(&mut barriers, "an operation").await?;
    ensure!(barriers.is_empty(), "{barriers:#?}");
    // A barrier would have been found.
    tab.run("document.querySelector('label[for=q]').remove(); q.placeholder = ''", vec![]).await?;
    ensure!(!tab.barriers(&axe).await?.is_empty(), "axe-core finds nothing");
    // The browser says so itself of each page that is not there.
    let log = tab.log().await?;
    ensure!(
        log.iter().all(|entry| entry["message"].as_str().is_some_and(|text| text.contains("404"))),
        "{log:#?}"
    );
    Ok(())
}

/// Writes a picture of the page.
#[allow(clippy::disallowed_methods, reason = "the environment asks for the pictures of the docs")]
async fn keep(tab: &Tab, name: &str) -> Tested {
    tab.run(STEADY, vec![]).await?;
    let picture = tab.picture(TALLEST).await?;
    let written = std::env::var_os("WRITE_SCREENSHOTS").is_some();
    let folder = if written {
        stack::root().join("docs/pictures/console")
    } else {
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pictures")
    };
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("{name}.png")), &picture)?;
    ensure!(!written || picture.len() < LARGEST, "{name} has {} bytes", picture.len());
    Ok(())
}

#[tokio::test]
async fn in_light_colours() -> Tested {
    looked_at(Media::Light, "light").await
}

#[tokio::test]
async fn in_dark_colours() -> Tested {
    looked_at(Media::Dark, "dark").await
}

#[tokio::test]
async fn on_a_phone() -> Tested {
    looked_at(Media::Narrow, "narrow").await
}
