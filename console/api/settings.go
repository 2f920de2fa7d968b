package api

// Settings is what the running cdcd was told.
type Settings struct {
	Source   string    `json:"source"`
	Version  string    `json:"version"`
	File     string    `json:"file"`
	Settings []Setting `json:"settings" doc:"Every value in force; secrets are not among them."`
	Warnings []Error   `json:"warnings" doc:"What is not wrong in it and yet worth saying."`
	Access   Access    `json:"access"`
}

// Setting is one value of the configuration in force.
type Setting struct {
	Key    string `json:"key" example:"bus.embedded.max_bytes"`
	Value  any    `json:"value"`
	Origin string `json:"origin" doc:"default, a place in the file, a flag or a variable of the environment."`
}

// Access is who may do what.
type Access struct {
	Open bool     `json:"open" doc:"Nobody is asked who he is; the console says so."`
	Me   Me       `json:"me"`
	How  []string `json:"how" doc:"How one can show who he is: token, session, header."`
}

// Me is who asks.
type Me struct {
	User string `json:"user" doc:"Empty where nobody is asked."`
	Role Role   `json:"role" enum:"viewer,analyst,publisher,operator"`
	Via  string `json:"via" enum:"open,token,session,header"`
}
