package streaming

// The reasons of dead letters: the header `reason` holds one of these, and metrics count by them. An event has the first that applies, in this order.
const (
	// ReasonTooLarge: the value is longer than kafka.max_bytes.
	ReasonTooLarge = "too_large"
	// ReasonEmptyValue: the value is null or has no bytes. (A null value in items and users is a deletion, not a dead letter.)
	ReasonEmptyValue = "empty_value"
	// ReasonNotUTF8: the value is not valid UTF-8.
	ReasonNotUTF8 = "not_utf8"
	// ReasonNotJSON: the value is not one JSON object; truncated values come under this.
	ReasonNotJSON = "not_json"
	// ReasonUnsupportedVersion: v is a number other than 1.
	ReasonUnsupportedVersion = "unsupported_version"
	// ReasonMissingField: a required key is absent or null: v, ts_ms and the ids; in actions type; in items and users features.
	ReasonMissingField = "missing_field"
	// ReasonWrongType: a known key holds another JSON type than the wire format says (ts_ms as text, a context that is no object), or a context or feature
	// value does not fit the schema's field of that name.
	ReasonWrongType = "wrong_type"
	// ReasonBadTimestamp: ts_ms is not within the years 2000 to 2100, or further ahead of the clock than join.ahead.
	ReasonBadTimestamp = "bad_timestamp"
	// ReasonEmptyID: a required id, or an action's type, is the empty string.
	ReasonEmptyID = "empty_id"
	// ReasonKeyMismatch: the message's key is not the event's user_id (in items and users: its id).
	ReasonKeyMismatch = "key_mismatch"
)

// Reasons lists every reason of a dead letter.
var Reasons = []string{
	ReasonTooLarge, ReasonEmptyValue, ReasonNotUTF8, ReasonNotJSON, ReasonUnsupportedVersion,
	ReasonMissingField, ReasonWrongType, ReasonBadTimestamp, ReasonEmptyID, ReasonKeyMismatch,
}
