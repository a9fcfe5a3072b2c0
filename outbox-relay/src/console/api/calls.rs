//! The calls of the API.

use serde_json::Value;

use super::call::{Call, Query, get};
use super::schemas::{
    About, AggregatePage, AuditList, Cause, Changes, Confirmation, EventList, EventPage, Failures,
    LetterGroups, LetterList, LetterPage, Operation, Overview, Pauses, Relays, Search,
};

const READ: &str = "read";
const DESK: &str = "desk";
const CHANGE: &str = "change";

/// The tags with their meaning.
pub(super) const TAGS: [(&str, &str); 3] = [
    (READ, "Read the outbox: the rights of viewer"),
    (DESK, "Read dead letters: the rights of viewer, and DEAD_LETTERS_DATABASE_URL"),
    (CHANGE, "Mend and destroy: the rights of operator or admin, by the action"),
];

const AFTER: Query = ("after", "Where to go on, as `next` of the part before has it");
const SINCE: Query = ("since", "Not before this time, or this duration before now, such as 2h");
const UNTIL: Query = ("until", "Before this time, or this duration before now");
const TYPE: Query = ("type", "Of this event type");
const KIND: Query = ("kind", "That failed in this way");
const FINGERPRINT: Query = ("fingerprint", "That failed of this cause");
const ERROR: Query = ("error", "Whose error contains this text");
const AGGREGATE: Query = ("aggregate", "Of aggregates with this id");
const AGGREGATE_TYPE: Query = ("aggregate_type", "Of aggregates of this type");
const QUEUE: Query = ("queue", "From this dead-letter queue");
const MESSAGE_ID: Query = ("message_id", "With this message id");

/// All calls.
pub(super) const CALLS: [Call; 19] = [
    get::<Overview>("/api", "getOverview", READ, "Whether events flow, and what to do if not"),
    Call {
        example: Some(include_str!("examples/failures.json")),
        ..get::<Failures>("/api/failures", "listFailures", READ, "Failed events by their cause")
    },
    Call {
        parts: &[("fingerprint", "The cause")],
        query: &[KIND, TYPE, AFTER],
        ..get::<Cause>("/api/failures/{fingerprint}", "getCause", READ, "The events of a cause")
    },
    Call {
        query: &[
            ("state", "`pending`, `waiting`, `scheduled`, `stuck`, `parked` or `published`"),
            AGGREGATE_TYPE,
            AGGREGATE,
            TYPE,
            KIND,
            FINGERPRINT,
            ERROR,
            SINCE,
            UNTIL,
            AFTER,
        ],
        example: Some(include_str!("examples/events.json")),
        ..get::<EventList>("/api/events", "listEvents", READ, "Events by state")
    },
    Call {
        parts: &[("event_id", "The event's `event_id`")],
        problems: &[404],
        ..get::<EventPage>("/api/events/{event_id}", "getEvent", READ, "One event, and where it is")
    },
    Call {
        parts: &[
            ("aggregate_type", "The aggregate's type"),
            ("aggregate_id", "The aggregate's id"),
        ],
        query: &[AFTER],
        ..get::<AggregatePage>(
            "/api/aggregates/{aggregate_type}/{aggregate_id}",
            "getAggregate",
            READ,
            "The events of one aggregate",
        )
    },
    Call {
        query: &[
            ("state", "`open`, `returning`, `returned`, `discarded` or `any`"),
            QUEUE,
            FINGERPRINT,
            KIND,
            TYPE,
            ERROR,
            MESSAGE_ID,
            SINCE,
            UNTIL,
            AFTER,
        ],
        problems: &[404],
        ..get::<LetterList>("/api/dead-letters", "listDeadLetters", DESK, "Dead letters by state")
    },
    Call {
        query: &[QUEUE, KIND],
        problems: &[404],
        ..get::<LetterGroups>(
            "/api/dead-letters/groups",
            "groupDeadLetters",
            DESK,
            "Open dead letters by their cause",
        )
    },
    Call {
        parts: &[("id", "The dead letter's id")],
        problems: &[404],
        ..get::<LetterPage>("/api/dead-letters/{id}", "getDeadLetter", DESK, "One dead letter")
    },
    get::<Pauses>("/api/pauses", "listPauses", READ, "What is not published for now"),
    get::<Relays>("/api/relays", "listRelays", READ, "The relays and their lanes"),
    Call {
        query: &[
            ("of", "`events`, or `dead_letters`: what was done to those"),
            ("actor", "What this person did"),
            ("action", "Only this action"),
            ("event", "About this `event_id`"),
            ("dead_letter", "About this dead letter, with `of=dead_letters`"),
            ("operation", "Of the command with this `operation_id`"),
            SINCE,
            UNTIL,
            AFTER,
        ],
        ..get::<AuditList>("/api/audit", "listAudit", READ, "Who did what")
    },
    get::<About>("/api/about", "getAbout", READ, "The console's version and settings"),
    get::<Changes>("/api/changes", "getChanges", READ, "Whether something has changed"),
    Call {
        query: &[("q", "An id of any kind")],
        answers: &[(200, "Nothing was found")],
        ..get::<Search>("/api/search", "search", READ, "Leads from an id to what it belongs to")
    },
    Call {
        parts: &[("action", "The action, such as `retry`")],
        query: &[
            ("event_id", "The event; may be given several times"),
            ("id", "The dead letter; may be given several times"),
            ("pause_id", "The pause; may be given several times"),
            AGGREGATE_TYPE,
            AGGREGATE,
            QUEUE,
            FINGERPRINT,
            KIND,
            TYPE,
            ERROR,
            MESSAGE_ID,
            SINCE,
            UNTIL,
            ("stuck", "`true`: only stuck events"),
            ("all", "`true`: everything, of `pause` and `resume`"),
        ],
        problems: &[404],
        ..get::<Confirmation>(
            "/api/confirm/{action}",
            "countChange",
            CHANGE,
            "What an action would change: `count` and `up_to_id` for the operation",
        )
    },
    Call {
        query: &[("wait", "Seconds to wait for the end, at most 60; without it the answer is 202")],
        answers: &[
            (200, "It was done, within `wait`"),
            (202, "It has begun: `Location` has how it stands"),
            (400, "The command refuses its values, within `wait`; or a problem"),
            (
                409,
                "Not all was done, within `wait`: another number matches by now, or some were left",
            ),
            (502, "It could not be run, within `wait`"),
            (
                503,
                "The database or the broker is away, within `wait`: what was done before stays; or a problem",
            ),
        ],
        example: Some(include_str!("examples/operation.json")),
        problems: &[400, 404, 408, 413],
        is_post: true,
        ..get::<Operation>("/api/operations", "beginOperation", CHANGE, "Change something")
    },
    Call {
        parts: &[("operation", "The operation's number")],
        problems: &[404],
        example: Some(include_str!("examples/operation.json")),
        ..get::<Operation>(
            "/api/operations/{operation}",
            "getOperation",
            CHANGE,
            "How an operation of your own stands",
        )
    },
    get::<Value>("/api/openapi.json", "getDocument", READ, "This document"),
];
