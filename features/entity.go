package features

// Entity is a user's or item's slowly changing features. Deleted marks a tombstone.
type Entity struct {
	ID       string
	TimeMS   int64
	Features Values
	Deleted  bool
}

// UserHistory is a user's history as the store holds it.
type UserHistory struct {
	User    string
	History History
}
