package prepare

import "fmt"

// RecipeError says what is wrong with a recipe, and where; Line is 0 where there is no line to name.
type RecipeError struct {
	Line   int
	Reason string
}

func (e *RecipeError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("recipe line %d: %s", e.Line, e.Reason)
	}
	return "recipe: " + e.Reason
}
