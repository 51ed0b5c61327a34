"""What an audit trail costs: this project, its peers and no audit, measured in turns."""
