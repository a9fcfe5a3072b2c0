//! What is told, and what is no news.

use super::*;

fn report(fingerprints: &[&str]) -> Value {
    let group =
        |name: &&str| json!({"kind": "returned", "fingerprint": name, "cause": name, "events": 2});
    json!({ "failures": fingerprints.iter().map(group).collect::<Vec<_>>() })
}

fn texts(news: &mut News, now: Instant) -> Vec<String> {
    news.take(now).into_iter().map(|notice| notice.text).collect()
}

#[test]
fn a_new_cause_is_told_once_and_what_was_there_is_no_news() {
    let (mut news, now) = (News::new("https://a".to_owned(), Some("x".to_owned())), Instant::now());
    news.look_at_failures(&report(&["old"]));
    assert_eq!(texts(&mut news, now), [""; 0]);
    news.look_at_failures(&report(&["old", "new"]));
    let told = texts(&mut news, now);
    assert_eq!(told, ["[x] New cause of failures: new: https://a/failures/new"]);
    // It goes and comes back; others come within the minute.
    news.look_at_failures(&report(&["old"]));
    news.look_at_failures(&report(&["new", "b", "c"]));
    assert_eq!(texts(&mut news, now + PAUSE / 2), [""; 0]);
    let told = news.take(now + PAUSE);
    assert_eq!((told.len(), told[0].count, told[0].causes.len()), (1, 2, 2));
    assert_eq!(told[0].url, "https://a/failures");
}

#[test]
fn a_cause_is_no_markup_of_chats() {
    let mut news = News::new("https://a".to_owned(), Some("<x>".to_owned()));
    news.look_at_failures(&report(&[]));
    let cause = "boom & <!channel> <http://evil|click>";
    let group = json!({"kind": "returned", "fingerprint": "f", "cause": cause});
    news.look_at_failures(&json!({"failures": [group]}));
    let notice = news.take(Instant::now()).pop().expect("it is new");
    let text = "[&lt;x&gt;] New cause of failures: boom &amp; &lt;!channel&gt; &lt;http://evil|click&gt;: https://a/failures/f";
    assert_eq!((notice.text.as_str(), &notice.causes[0]["cause"]), (text, &cause.into()));
}

#[test]
fn stuck_events_are_told_when_they_become_more() {
    let (mut news, now) = (News::new(String::new(), None), Instant::now());
    let status = |stuck: u64| json!({"backlog": {"stuck": stuck}});
    for (stuck, told) in [(5, None), (5, None), (7, Some(2)), (3, None), (4, Some(1))] {
        news.look_at_status(&status(stuck));
        news.newly_stuck.last = None;
        let notice = news.take(now).pop();
        assert_eq!(notice.map(|notice| notice.count), told, "{stuck}");
    }
    news.look_at_status(&status(5));
    assert_eq!(texts(&mut news, now), [""; 0], "not twice in a minute");
    let told = texts(&mut news, now + PAUSE);
    assert_eq!(told, ["1 event became stuck; stuck now: 5: /events?state=stuck"]);
}

#[test]
fn dead_letters_are_new_once_also_those_of_slow_transactions() {
    let mut news = News::new("/outbox".to_owned(), None);
    let mut new = |ids: &[i64]| {
        news.look_at_letters(&ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>());
        std::mem::take(&mut news.new_letters.count)
    };
    assert_eq!(new(&[9, 5]), 0);
    assert_eq!(new(&[9, 7, 5]), 1);
    assert_eq!(new(&[5, 4]), 0, "4 was below those that were shown");
    assert_eq!(new(&[]), 0);
    assert_eq!(new(&[6, 5, 4]), 1);
    let mut empty = News::new(String::new(), None);
    empty.look_at_letters(&[]);
    empty.look_at_letters(&[json!({"id": 1})]);
    assert_eq!(texts(&mut empty, Instant::now()), ["1 new dead letter arrived: /dead-letters"]);
}

#[test]
fn a_count_beyond_what_is_looked_at_is_told_as_such() {
    let (mut news, now) = (News::new(String::new(), None), Instant::now());
    let letters = |ids: std::ops::Range<usize>| ids.map(|id| json!({"id": id})).collect::<Vec<_>>();
    for (ids, told) in [
        (0..0, None),
        (0..LIMIT - 1, Some("499 new dead letters arrived: /dead-letters")),
        (1000..1000 + LIMIT, Some("500 or more new dead letters arrived: /dead-letters")),
        (1001..1001 + LIMIT, Some("1 new dead letter arrived: /dead-letters")),
    ] {
        news.look_at_letters(&letters(ids));
        news.new_letters.last = None;
        let notice = news.take(now).pop();
        assert_eq!(notice.as_ref().map(|notice| notice.text.as_str()), told);
        let is_capped = told.is_some_and(|told| told.contains("or more"));
        assert_eq!(notice.is_some_and(|notice| notice.count_is_capped), is_capped);
    }
    news.look_at_failures(&report(&[]));
    let mut more = report(&["a"]);
    more["has_more"] = true.into();
    news.look_at_failures(&more);
    let told = texts(&mut news, now);
    assert_eq!(told, ["1 or more new causes of failures, the first: a: /failures"]);
}
