//! Binding keys of topic exchanges, by which a consumer says which events it handles.

/// A binding key: words between dots, of which `*` stands for any word and `#` for any number of
/// words (<https://www.rabbitmq.com/tutorials/amqp-concepts#exchange-topic>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding(Vec<String>);

impl Binding {
    pub(super) fn new(key: &str) -> Self {
        Self(key.split('.').map(str::to_owned).collect())
    }

    /// Whether a topic exchange would pass a message with this routing key on.
    pub(super) fn matches(&self, routing_key: &str) -> bool {
        // How many words of the routing key the words of the binding so far can stand for.
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

    /// A pattern of many words must not be tried in each possible way.
    #[test]
    fn a_binding_of_many_words_is_matched_at_once() {
        let binding = Binding::new(&vec!["#"; 100].join(".").replace("#.#", "#.*"));
        assert!(binding.matches(&vec!["a"; 100].join(".")));
    }
}
