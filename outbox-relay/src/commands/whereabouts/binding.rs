//! Binding keys of topic exchanges, which select the events that a consumer handles.

/// A binding key: words between dots, of which `*` stands for any word and `#` for any number of
/// words (<https://www.rabbitmq.com/tutorials/amqp-concepts#exchange-topic>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding(Vec<String>);

impl Binding {
    pub(super) fn new(key: &str) -> Self {
        Self(key.split('.').map(str::to_owned).collect())
    }

    /// Returns true if a topic exchange would route a message with this routing key.
    pub(super) fn matches(&self, routing_key: &str) -> bool {
        // Which prefixes of the routing key, by their number of words, the binding's words so far
        // can match.
        let words: Vec<&str> = routing_key.split('.').collect();
        let mut reached = vec![false; words.len() + 1];
        reached[0] = true;
        for pattern in &self.0 {
            if pattern == "#" {
                let first = reached.iter().position(|is_reached| *is_reached);
                let first = first.unwrap_or(reached.len());
                reached[first..].fill(true);
                continue;
            }
            for index in (0..words.len()).rev() {
                reached[index + 1] = reached[index] && (pattern == "*" || pattern == words[index]);
            }
            reached[0] = false;
        }
        reached[words.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_matches_as_in_a_topic_exchange() {
        for (key, matching, others) in [
            (
                "order.created",
                &["order.created"][..],
                &["order", "order.paid", "order.created.x"][..],
            ),
            ("order.*", &["order.created", "order."], &["order", "order.item.added", "x.order"]),
            ("#", &["", "order", "order.item.added"], &[]),
            ("order.#", &["order", "order.item.added"], &["orders", "x.order"]),
            ("#.added", &["added", "order.item.added"], &["order.added.x"]),
            ("*.#.added", &["a.added", "a.b.c.added"], &["added"]),
            ("#.#", &["", "a", "a.b"], &[]),
            ("", &[""], &["a"]),
        ] {
            let binding = Binding::new(key);
            for routing_key in matching {
                assert!(binding.matches(routing_key), "{key} and {routing_key}");
            }
            for routing_key in others {
                assert!(!binding.matches(routing_key), "{key} and {routing_key}");
            }
        }
    }

    /// Many `#` in a pattern must not take exponential time.
    #[test]
    fn a_binding_of_many_words_is_matched_at_once() {
        let binding = Binding::new(&vec!["#"; 100].join(".").replace("#.#", "#.*"));
        assert!(binding.matches(&vec!["a"; 100].join(".")));
    }
}
