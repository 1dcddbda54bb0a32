"""What every client of a server needs: addresses of names, a connection, a certificate, patience."""
