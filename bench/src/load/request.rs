//! The requests to the service.

use std::io::Write as _;

/// The requests of a run; each has a number.
#[derive(Debug, Clone)]
pub(crate) enum Requests {
    /// New orders, with the customers in turn.
    NewOrders {
        /// The number of customers.
        customers: usize,
    },
    /// Reads one order, with these ids in turn.
    Orders(Vec<String>),
    /// Lists a page of orders.
    Page,
}

impl Requests {
    /// The status that means success.
    pub(super) const fn success(&self) -> u16 {
        match self {
            Self::NewOrders { .. } => 201,
            Self::Orders(_) | Self::Page => 200,
        }
    }

    /// The customer, numbered from 0, of the request's order.
    pub(super) fn customer(&self, number: usize) -> Option<usize> {
        match self {
            Self::NewOrders { customers } => Some(number % customers),
            Self::Orders(_) | Self::Page => None,
        }
    }

    /// The number of customers.
    pub(super) const fn customers(&self) -> usize {
        match self {
            Self::NewOrders { customers } => *customers,
            Self::Orders(_) | Self::Page => 0,
        }
    }

    /// Writes a request in HTTP/1.1 into `bytes`, replacing its contents.
    pub(super) fn write(&self, number: usize, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        bytes.clear();
        match self {
            Self::NewOrders { customers } => {
                let customer = number % customers + 1;
                // The body's length is constant: only the customer's twelve digits change.
                write!(
                    bytes,
                    "POST /api/orders HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
                     content-length: 175\r\n\r\n{{\"order\":{{\"customer_public_id\":\"00000000-0000-0000-0000-\
                     {customer:012}\",\"product_name\":\"a bicycle bell\",\"quantity\":1,\"price\":\"12.50\",\
                     \"delivery_address\":\"Cra 7 #12-34, Bogot\u{e1}\"}}}}"
                )
            }
            Self::Orders(ids) => {
                let id = &ids[number % ids.len()];
                write!(bytes, "GET /api/orders/{id} HTTP/1.1\r\nhost: bench\r\n\r\n")
            }
            Self::Page => write!(bytes, "GET /api/orders?limit=50 HTTP/1.1\r\nhost: bench\r\n\r\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Requests;

    #[test]
    fn a_body_is_as_long_as_its_header_says() {
        for number in [0, 999_999] {
            let mut bytes = Vec::new();
            Requests::NewOrders { customers: 1_000_000 }
                .write(number, &mut bytes)
                .expect("written");
            let text = String::from_utf8(bytes).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            let (_, said) = head.split_once("content-length: ").expect("a length");
            assert_eq!(said, body.len().to_string(), "{text}");
            serde_json::from_str::<serde_json::Value>(body).expect("JSON");
        }
    }

    #[test]
    fn customers_and_orders_take_turns() {
        let text = |requests: &Requests, number| {
            let mut bytes = Vec::new();
            requests.write(number, &mut bytes).expect("written");
            String::from_utf8(bytes).expect("text")
        };
        let orders = Requests::NewOrders { customers: 3 };
        assert_eq!(orders.customer(4), Some(1));
        assert!(text(&orders, 4).contains("00000000-0000-0000-0000-000000000002"));
        let ids = Requests::Orders(vec!["a".to_owned(), "b".to_owned()]);
        assert!(text(&ids, 3).starts_with("GET /api/orders/b HTTP/1.1\r\n"));
    }
}
