package sheet

// Guard and Unguard are what is done to the texts of a file.
var Guard, Unguard = guard, unguard
