package streaming

import "github.com/millrace/millrace/features"

// entities keeps the newest features of items or of users.
type entities struct {
	by map[string]*entity
	// keepDecoded is for items, whose features many rows need.
	keepDecoded bool
}

// entity is one version of an item's or user's features: impressions that wait hold on to the version they met.
type entity struct {
	features string // the JSON object as written
	t        int64
	decoded  features.Values
}

func newEntities(keepDecoded bool) *entities {
	return &entities{by: map[string]*entity{}, keepDecoded: keepDecoded}
}

// put takes an event in and reports whether it changed something: an older time than the kept one does not.
func (s *entities) put(e entityEvent) bool {
	old := s.by[e.id]
	if e.deleted {
		delete(s.by, e.id)
		return old != nil
	}
	if old != nil && old.t > e.t {
		return false
	}
	s.by[e.id] = &entity{features: e.features, t: e.t}
	return true
}

// values are the features of a version, nil for none.
func (s *entities) values(e *entity) features.Values {
	if e == nil {
		return nil
	}
	if !s.keepDecoded {
		return values(e.features)
	}
	if e.decoded == nil {
		e.decoded = values(e.features)
	}
	return e.decoded
}
