package upstream

// child runs the test binary as a stdio server when it was started as one.
func child() bool { return false }
