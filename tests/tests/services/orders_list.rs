//! Listing orders: pages, filters and invalid parameters.

use pipeline_tests::order_api::{CUSTOMER, OrderApi, accepted, faults, order};
use reqwest::Response;
use serde_json::{Value, json};

/// The ids on a page, and the path of the next page.
async fn page(answer: Response) -> anyhow::Result<(Vec<String>, Option<String>)> {
    assert_eq!(answer.status(), 200);
    let next = answer.headers().get("link").map(|link| {
        let link = link.to_str().expect("a readable Link");
        let link = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        link.expect("a Link to the next page").to_owned()
    });
    let orders: Vec<Value> = answer.json().await?;
    let ids = orders.iter().map(|order| order["id"].as_str().expect("an id").to_owned());
    Ok((ids.collect(), next))
}

#[tokio::test]
async fn pages_show_every_order_once_newest_first_while_others_arrive() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(api.create().await?);
    }
    made.reverse();

    let (mut seen, mut next) = page(api.get("/api/orders?limit=3").await?).await?;
    api.create().await?;
    while let Some(path) = next {
        let (ids, following) = page(api.get(&path).await?).await?;
        assert!(!ids.is_empty() && ids.len() <= 3);
        seen.extend(ids);
        next = following;
    }
    assert_eq!(seen, made);
    Ok(())
}

#[tokio::test]
async fn a_page_that_holds_all_has_no_link_and_fifty_are_a_page() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let answer = api.get("/api/orders").await?;
    assert!(answer.headers().get("link").is_none());
    assert_eq!(answer.text().await?, "[]");
    for _ in 0..50 {
        api.create().await?;
    }
    let (ids, next) = page(api.get("/api/orders").await?).await?;
    assert_eq!((ids.len(), next), (50, None));
    api.create().await?;
    let (ids, next) = page(api.get("/api/orders").await?).await?;
    assert_eq!(ids.len(), 50);
    let (ids, next) = page(api.get(&next.expect("a second page")).await?).await?;
    assert_eq!((ids.len(), next), (1, None));
    let (ids, _) = page(api.get("/api/orders?limit=500").await?).await?;
    assert_eq!(ids.len(), 51);
    Ok(())
}

#[tokio::test]
async fn filters_hold_on_every_page() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let other = "22222222-2222-2222-2222-222222222222";
    let mut mine = Vec::new();
    for turn in 0..9 {
        let mut body = order();
        if turn % 3 != 0 {
            body["order"]["customer_public_id"] = json!(other);
        }
        let id = accepted(api.post(&body).send().await?).await?["id"].as_str().unwrap().to_owned();
        if turn % 2 == 0 {
            api.patch(&id, "processing").await?.error_for_status()?;
        }
        mine.push((turn, id));
    }
    mine.reverse();
    let of = |wanted: &dyn Fn(i32) -> bool| -> Vec<String> {
        mine.iter().filter(|(turn, _)| wanted(*turn)).map(|(_, id)| id.clone()).collect()
    };
    for (query, expected) in [
        (format!("customer_public_id={CUSTOMER}"), of(&|turn| turn % 3 == 0)),
        ("status=processing".to_owned(), of(&|turn| turn % 2 == 0)),
        (
            format!("status=created&customer_public_id={other}"),
            of(&|turn| turn % 3 != 0 && turn % 2 != 0),
        ),
        ("status=shipped".to_owned(), Vec::new()),
    ] {
        let mut seen = Vec::new();
        let mut next = Some(format!("/api/orders?limit=1&{query}"));
        while let Some(path) = next {
            let (ids, following) = page(api.get(&path).await?).await?;
            seen.extend(ids);
            next = following;
        }
        assert_eq!(seen, expected, "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn all_that_is_wrong_with_a_question_is_told_at_once() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let query = "limit=0&cursor=x&customer_public_id=7&status=lost&sort=price&limit=5";
    assert_eq!(
        faults(api.get(&format!("/api/orders?{query}")).await?).await?,
        [
            "limit is given more than once",
            "limit must be an integer from 1 to 500",
            "cursor must be one that a Link header gave",
            "customer_public_id must be a UUID",
            "status must be one of created, processing, shipped, delivered, cancelled",
            "the query parameter sort is unknown",
        ]
    );
    for limit in ["501", "-1", "", "1.5", "18446744073709551616"] {
        let told = faults(api.get(&format!("/api/orders?limit={limit}")).await?).await?;
        assert_eq!(told, ["limit must be an integer from 1 to 500"], "{limit}");
    }
    Ok(())
}
