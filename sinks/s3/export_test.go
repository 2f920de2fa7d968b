package s3

// PretendAWS makes the store send what only AWS gets.
func (s *Store) PretendAWS() { s.aws = true }
