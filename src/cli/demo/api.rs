//! The sample Applications API behind the gateway of `scopegate demo`: real HTTP, its state in memory.
//!
//! It checks no token. It believes the identity headers, as an API behind a gateway may: nobody else can reach it.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Body, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::net::TcpListener;

use crate::domain::{CustomerId, random_bytes};

/// Serves until accepting fails or the future is dropped. Answers carry no `sessionToken`: the gateway, which has the key,
/// puts one into the answer to `applications.create`.
pub async fn serve(listener: TcpListener) -> io::Result<Infallible> {
    let applications = Arc::new(Applications::default());
    loop {
        let (connection, _) = listener.accept().await?;
        let applications = applications.clone();
        let answer = service_fn(move |request| {
            let applications = applications.clone();
            async move { Ok::<_, Infallible>(applications.answer(request).await) }
        });
        // A connection that breaks concerns its caller alone.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), answer));
    }
}

/// Every application by its ID.
#[derive(Default)]
struct Applications(Mutex<HashMap<String, Application>>);

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Application {
    id: String,
    workflow_id: String,
    country_code: String,
    redirect_url: String,
    status: &'static str,
    #[serde(skip)]
    customer: CustomerId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    workflow_id: String,
    country_code: String,
    redirect_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    application_id: String,
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NoSuchPath,
    NotPost,
    NoCustomer,
    TooLarge,
    NotJson,
    Member(&'static str),
    NoSuchApplication,
}

impl Applications {
    async fn answer<B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>>(
        &self,
        request: Request<B>,
    ) -> Response<Full<Bytes>> {
        self.outcome(request).await.unwrap_or_else(Refusal::response)
    }

    async fn outcome<B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>>(
        &self,
        request: Request<B>,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let (head, body) = request.into_parts();
        let call = match head.uri.path() {
            "/healthz" => return Ok(reply(StatusCode::OK, "application/json", &json!({"status": "ok"}))),
            "/v1/applications.create" => Call::Create,
            "/v1/applications.get" => Call::Get,
            "/v1/applications.organization.get" => Call::Organization,
            _ => return Err(Refusal::NoSuchPath),
        };
        if head.method != Method::POST {
            return Err(Refusal::NotPost);
        }
        let customer = head.headers.get("x-customer-id").and_then(|value| value.to_str().ok());
        let customer = customer.and_then(|text| CustomerId::parse(text).ok()).ok_or(Refusal::NoCustomer)?;
        let body = Limited::new(body, LONGEST_BODY).collect().await.map_err(|_| Refusal::TooLarge)?.to_bytes();
        match call {
            Call::Create => self.create(read(&body)?, customer),
            Call::Get => Ok(ok(&json!(self.find(&read(&body)?, &customer)?))),
            Call::Organization => Ok(ok(&organization(&self.find(&read(&body)?, &customer)?))),
        }
    }

    fn create(&self, wanted: Create, customer: CustomerId) -> Result<Response<Full<Bytes>>, Refusal> {
        check(&wanted)?;
        let id = uuid::Builder::from_random_bytes(random_bytes()).into_uuid();
        let application = Application {
            id: format!("bits:application::{id}"),
            workflow_id: wanted.workflow_id,
            country_code: wanted.country_code,
            redirect_url: wanted.redirect_url,
            status: "created",
            customer,
        };
        let response = reply(StatusCode::CREATED, "application/json", &json!(application));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(application.id.clone(), application);
        Ok(response)
    }

    /// Another customer's application does not exist for this one.
    fn find(&self, named: &Named, customer: &CustomerId) -> Result<Application, Refusal> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(&named.application_id).filter(|application| application.customer == *customer);
        found.cloned().ok_or(Refusal::NoSuchApplication)
    }
}

#[derive(Clone, Copy)]
enum Call {
    Create,
    Get,
    Organization,
}

impl Refusal {
    fn response(self) -> Response<Full<Bytes>> {
        let (status, detail) = match self {
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "there is nothing at this path"),
            Self::NotPost => (StatusCode::METHOD_NOT_ALLOWED, "calls are made with POST"),
            Self::NoCustomer => (StatusCode::UNAUTHORIZED, "the gateway in front states no X-Customer-Id"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large, or ended early"),
            Self::NotJson => (StatusCode::BAD_REQUEST, "the body is not a JSON object with this call's members"),
            Self::Member(detail) => (StatusCode::UNPROCESSABLE_ENTITY, detail),
            Self::NoSuchApplication => (StatusCode::NOT_FOUND, "this customer has no such application"),
        };
        let title = status.canonical_reason().unwrap_or_default();
        let problem = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail});
        let mut response = reply(status, "application/problem+json", &problem);
        if self == Self::NotPost {
            response.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static("POST"));
        }
        response
    }
}

fn check(wanted: &Create) -> Result<(), Refusal> {
    if !is_name_of("workflow", &wanted.workflow_id) {
        return Err(Refusal::Member("workflowId is not bits:workflow:: and a UUID"));
    }
    if wanted.country_code.len() != 2 || !wanted.country_code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(Refusal::Member("countryCode is not two capital letters (ISO 3166-1 alpha-2)"));
    }
    if !url::Url::parse(&wanted.redirect_url).is_ok_and(|url| matches!(url.scheme(), "https" | "http")) {
        return Err(Refusal::Member("redirectUrl is not an absolute URL"));
    }
    Ok(())
}

fn is_name_of(kind: &str, text: &str) -> bool {
    let uuid = text.strip_prefix("bits:").and_then(|rest| rest.strip_prefix(kind)?.strip_prefix("::"));
    uuid.is_some_and(|uuid| uuid::Uuid::try_parse(uuid).is_ok())
}

/// What the demo knows of the organization that an application is about: made up from the application itself.
fn organization(application: &Application) -> serde_json::Value {
    json!({
        "applicationId": application.id,
        "countryCode": application.country_code,
        "name": format!("Sample Organization {}", application.country_code),
    })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::NotJson)
}

fn ok(value: &serde_json::Value) -> Response<Full<Bytes>> {
    reply(StatusCode::OK, "application/json", value)
}

fn reply(status: StatusCode, content_type: &'static str, value: &serde_json::Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, content_type);
    response.body(Full::from(value.to_string())).expect("a known status and a literal header")
}

const LONGEST_BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    const OURS: &str = "bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc";
    const THEIRS: &str = "bits:customer::00000000-635b-418c-8b74-4a554f82c0bc";
    const GOOD: &str = r#"{"workflowId":"bits:workflow::e0d429f2-635b-418c-8b74-4a554f82c0bc","countryCode":"SE","redirectUrl":"https://a.example/"}"#;

    /// One call over a connection of its own.
    async fn call(api: std::net::SocketAddr, line: &str, customer: &str, body: &str) -> (u16, Value) {
        let mut connection = TcpStream::connect(api).await.unwrap();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: api\r\nX-Customer-Id: {customer}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        connection.read_to_string(&mut reply).await.unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    async fn started() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener));
        address
    }

    #[tokio::test]
    async fn an_application_that_was_created_is_read_back() {
        let api = started().await;
        let (status, created) = call(api, "POST /v1/applications.create", OURS, GOOD).await;
        assert_eq!(status, 201);
        let id = created["id"].as_str().unwrap();
        assert!(is_name_of("application", id), "{id}");
        assert_eq!(created.get("sessionToken"), None);

        let named = json!({"applicationId": id}).to_string();
        let (status, read) = call(api, "POST /v1/applications.get", OURS, &named).await;
        assert_eq!((status, &read), (200, &created));
        assert_eq!(read["countryCode"], "SE");
        let (status, organization) = call(api, "POST /v1/applications.organization.get", OURS, &named).await;
        assert_eq!((status, &organization["applicationId"]), (200, &created["id"]));
    }

    #[tokio::test]
    async fn unknown_applications_and_those_of_others_are_not_found() {
        let api = started().await;
        let (_, created) = call(api, "POST /v1/applications.create", OURS, GOOD).await;
        let named = json!({"applicationId": created["id"]}).to_string();
        let unknown = r#"{"applicationId":"bits:application::e0d429f2-635b-418c-8b74-4a554f82c0bc"}"#;
        for (customer, body) in [(THEIRS, named.as_str()), (OURS, unknown)] {
            for path in ["POST /v1/applications.get", "POST /v1/applications.organization.get"] {
                let (status, problem) = call(api, path, customer, body).await;
                assert_eq!((status, &problem["status"]), (404, &json!(404)), "{path} {body}");
            }
        }
    }

    #[tokio::test]
    async fn calls_that_make_no_sense_are_refused() {
        let api = started().await;
        let create = "POST /v1/applications.create";
        let long = " ".repeat(LONGEST_BODY + 1);
        for (line, customer, body, expected) in [
            (create, OURS, "", 400),
            (create, OURS, "{}", 400),
            (create, OURS, r#"{"workflowId":1,"countryCode":"SE","redirectUrl":"https://a.example/"}"#, 400),
            (create, OURS, &GOOD.replace("SE", "Sweden"), 422),
            (create, OURS, &GOOD.replace("bits:workflow", "workflow"), 422),
            (create, OURS, &GOOD.replace("https://a.example", ""), 422),
            (create, OURS, &long, 413),
            (create, "", GOOD, 401),
            ("POST /v1/applications.get", OURS, "[]", 400),
            ("GET /v1/applications.get", OURS, "", 405),
            ("POST /v1/applications.delete", OURS, "{}", 404),
        ] {
            let (status, problem) = call(api, line, customer, body).await;
            assert_eq!((status, &problem["status"]), (expected, &json!(expected)), "{line} {problem}");
        }
    }

    #[tokio::test]
    async fn it_says_that_it_is_well() {
        assert_eq!(call(started().await, "GET /healthz", "", "").await, (200, json!({"status": "ok"})));
    }
}
