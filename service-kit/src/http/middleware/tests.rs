use poem::{Route, get, handler};

use super::*;

#[handler]
fn panics() -> String {
    panic!("a secret of ours")
}

#[handler]
fn fails() -> poem::Result<String> {
    Err(poem::error::InternalServerError(std::io::Error::other("a secret of ours")))
}

async fn respond(path: &str) -> (Response, String) {
    let routes = Route::new().at("/panics", get(panics)).at("/fails", get(fails));
    let middleware = Middleware::new(routes, HashMap::new());
    let request = Request::builder().uri_str(path).finish();
    let mut response = middleware.call(request).await.expect("errors are answers here");
    let body = response.take_body().into_string().await.expect("a body");
    (response, body)
}

#[tokio::test]
async fn a_panic_and_a_foreign_error_are_problems_that_reveal_nothing() {
    for path in ["/panics", "/fails"] {
        let (response, body) = respond(path).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.content_type(), Some(CONTENT_TYPE));
        assert!(response.headers().contains_key(HEADER));
        assert!(!body.contains("secret"), "{body}");
        let cause = response.data::<Cause>().expect("a cause for the log");
        assert!(cause.0.contains("secret"), "{cause:?}");
    }
}

#[test]
fn the_route_of_a_path_is_known_before_it_is_routed() {
    let routes = ["/api/orders", "/api/orders/{id}", "/up"];
    let routes =
        routes.map(|path| (path.replace("{id}", ":param0"), ApiRoute::new(path.to_owned())));
    let middleware = Middleware::new(Route::new(), HashMap::from(routes));
    for (path, route) in [
        ("/api/orders", "/api/orders"),
        ("/api/orders/7", "/api/orders/{id}"),
        ("/api/orders/", NO_ROUTE),
        ("/api/orders/7/8", NO_ROUTE),
        ("/up", "/up"),
        ("/docs", NO_ROUTE),
        ("", NO_ROUTE),
    ] {
        assert_eq!(middleware.route_for_path(path), route, "{path}");
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_is_not_found() {
    for path in ["/%ff", "/%c3", "/nowhere", "/%", "/%zz"] {
        assert_eq!(respond(path).await.0.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert!(is_utf8("/caf%C3%A9/100%/%4"));
}
