"""What happens to the trail in the course of years."""
