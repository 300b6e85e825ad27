"""How good nuclei are: scores, intervals, pictures, reports, the gate. No torch, no models here."""
