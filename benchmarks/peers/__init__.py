"""What Headway is measured beside, each written the way it usually is."""
